import { createClient } from '@redis/client'
import type { LimitedSubject, LimitKind, LimitStore } from '#domain/limits/rate-limit.ts'

const CONNECT_MS_MAX = 5_000
const RECONNECT_MS = { first: 100, max: 5_000 }
const PING_MS = 5_000
const KINDS: readonly LimitKind[] = ['requests', 'tokens', 'concurrent']
const COMMANDS_MAX = 10_000

export interface RedisLimitsOptions {
  /** `redis://` or `rediss://`. */
  url: string
  prefix: string
  leaseMs: number
  onError: (error: Error) => void
}

// The server's clock, so that gateways need not agree on theirs. A limit below zero is none. What was used beyond a limit is paid by
// the minutes that follow.
const WINDOW = `
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local minute = math.floor(ms / 60000)
local function read(key, limit)
  local h = redis.call('HMGET', key, 'm', 'r', 't')
  local m, r, t = tonumber(h[1] or '0'), tonumber(h[2] or '0'), tonumber(h[3] or '0')
  if m ~= minute then
    r = 0
    if limit < 0 then t = 0 else t = math.max(0, t - limit * (minute - m)) end
  end
  return r, t
end
local function write(key, r, t)
  redis.call('HSET', key, 'm', minute, 'r', r, 't', t)
  redis.call('PEXPIRE', key, 3600000)
end
`

const ENTER = `${WINDOW}
local id, lease = ARGV[1], tonumber(ARGV[2])
local refused, counts = 0, {}
for i = 1, #KEYS do
  local lr, lt, lc = tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1]), tonumber(ARGV[i * 3 + 2])
  local r, t = read(KEYS[i], lt)
  local c = 0
  if lc >= 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[i] .. ':c', '-inf', ms)
    c = redis.call('ZCARD', KEYS[i] .. ':c')
  end
  if refused == 0 then
    if lr >= 0 and r >= lr then refused = i * 10 + 1
    elseif lt >= 0 and t >= lt then refused = i * 10 + 2
    elseif lc >= 0 and c >= lc then refused = i * 10 + 3 end
  end
  counts[i] = { r, t, c }
end
local answer = { refused, 60000 - ms % 60000 }
for i = 1, #KEYS do
  local r, t, c = counts[i][1], counts[i][2], counts[i][3]
  if refused == 0 then
    r = r + 1
    write(KEYS[i], r, t)
    if tonumber(ARGV[i * 3 + 2]) >= 0 then
      c = c + 1
      redis.call('ZADD', KEYS[i] .. ':c', ms + lease, id)
      redis.call('PEXPIRE', KEYS[i] .. ':c', lease * 2)
    end
  end
  table.insert(answer, r)
  table.insert(answer, t)
  table.insert(answer, c)
end
return answer`

const LEAVE = `${WINDOW}
local id, used = ARGV[1], tonumber(ARGV[2])
for i = 1, #KEYS do
  redis.call('ZREM', KEYS[i] .. ':c', id)
  local limit = tonumber(ARGV[i + 2])
  if limit >= 0 and used > 0 then
    local r, t = read(KEYS[i], limit)
    write(KEYS[i], r, t + used)
  end
end
return 0`

const REFRESH = `${WINDOW}
local lease = tonumber(ARGV[1])
for i = 1, #KEYS do
  if redis.call('ZADD', KEYS[i] .. ':c', 'XX', 'CH', ms + lease, ARGV[i + 1]) == 1 then
    redis.call('PEXPIRE', KEYS[i] .. ':c', lease * 2)
  end
end
return 0`

/** Counts of several gateways that share a Redis or Valkey server. While it is away every method rejects at once. */
export function createRedisLimits(options: RedisLimitsOptions): LimitStore & { close(): Promise<void> } {
  const { prefix, leaseMs, onError } = options
  const client = createClient({
    url: options.url,
    pingInterval: PING_MS,
    disableOfflineQueue: true,
    commandsQueueMaxLength: COMMANDS_MAX,
    socket: {
      connectTimeout: CONNECT_MS_MAX,
      reconnectStrategy: (tries) => Math.min(RECONNECT_MS.first * 2 ** Math.min(tries, 10), RECONNECT_MS.max),
    },
  })
  client.on('error', onError)
  client.connect().catch(onError)
  const keysOf = (subjects: readonly LimitedSubject[]) => subjects.map(({ name }) => `${prefix}${name}`)

  return {
    async enter(id, subjects) {
      const limits = subjects.flatMap(({ limit }) => [
        ...[limit.requestsPerMinute, limit.tokensPerMinute, limit.concurrentCalls].map((most) => String(most ?? -1)),
      ])
      const answer = await client.eval(ENTER, { keys: keysOf(subjects), arguments: [id, String(leaseMs), ...limits] })
      const [refused = 0, leftMs = 0, ...counts] = (answer as unknown[]).map(Number)
      const kind = KINDS[(refused % 10) - 1]
      return {
        refused: kind === undefined ? undefined : { index: Math.floor(refused / 10) - 1, kind },
        leftMs,
        counts: subjects.map((_subject, index) => ({
          requests: counts[index * 3] ?? 0,
          tokens: counts[index * 3 + 1] ?? 0,
          concurrent: counts[index * 3 + 2] ?? 0,
        })),
      }
    },

    async leave(id, subjects, tokens) {
      const limits = subjects.map(({ limit }) => String(limit.tokensPerMinute ?? -1))
      await client.eval(LEAVE, { keys: keysOf(subjects), arguments: [id, String(tokens), ...limits] })
    },

    async refresh(calls) {
      const leases = calls.flatMap(({ id, subjects }) => keysOf(subjects).map((key) => ({ id, key })))
      await client.eval(REFRESH, {
        keys: leases.map(({ key }) => key),
        arguments: [String(leaseMs), ...leases.map(({ id }) => id)],
      })
    },

    async close() {
      if (client.isOpen) client.destroy()
    },
  }
}
