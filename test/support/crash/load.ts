import { setTimeout as delay } from 'node:timers/promises'
import { type ChatResult, chat, keptConnections } from '#test/support/chat-client.ts'
import type { Random } from '#test/support/random.ts'
import { countTokens } from '#wire/count-tokens.ts'

/** A client waits no longer than this for anything; whoever does has met a gateway that hangs. */
const CALL_MS_MAX = 60_000
const REPLAYS_MAX = 400
const PAUSE_MS_MAX = 40
const DOWN_MS = 100

/** A prompt that every tokenizer finds shorter than the simulator does, so that a count of ours is never above its own. */
const PROMPT =
  'Please tell the story of the harbour again, and mind the tide tables, the keeper and the two ferries. '.repeat(6)

/** What one client knows of one call, whatever became of the gateway. */
export interface ClientRecord {
  kind: string
  stream: boolean
  /** The client was told which receipt it will get. */
  receipt: string | undefined
  /** A complete answer and what it says it cost, in nano-dollars. */
  acknowledged: { charged: bigint } | undefined
  /** Text that arrived, in the simulator's tokens. */
  tokens: number
  /** The same as the gateway would count it; only where it may have to. */
  counted: number | undefined
  /** Replays of one idempotency key share it. */
  idempotencyKey: string | undefined
  hung: boolean
}

interface CallPlan {
  kind: string
  body: Record<string, unknown>
  hangUpAfterMs?: number
  idempotencyKey?: string
}

/** Clients that call, one call after the other, until they are told to stop; a gateway that is down is waited for. */
export function startLoad(options: {
  url: () => string
  keys: readonly [string, ...string[]]
  clients: number
  random: Random
}) {
  const records: ClientRecord[] = []
  const refusals = new Map<string, number>()
  const stopping = new AbortController()
  const failures: unknown[] = []
  const clients = Array.from({ length: options.clients }, (_, number) =>
    runClient(number, options.random.fork()).catch((error: unknown) => void failures.push(error)),
  )

  async function runClient(number: number, random: Random): Promise<void> {
    const agent = keptConnections()
    for (let n = 0; !stopping.signal.aborted; n += 1) {
      const key = random.pick(options.keys)
      const plan = planCall(random, `${number}-${n}`)
      for (let replay = 0; replay < REPLAYS_MAX; replay += 1) {
        const result = await makeCall(plan, key, agent)
        if (!shouldReplay(plan, result) || stopping.signal.aborted) break
        await delay(DOWN_MS)
      }
      await delay(random.integer(0, PAUSE_MS_MAX))
    }
    agent.destroy()
  }

  async function makeCall(plan: CallPlan, key: string, agent: ReturnType<typeof keptConnections>): Promise<ChatResult> {
    const tooLong = AbortSignal.timeout(CALL_MS_MAX)
    const signal =
      plan.hangUpAfterMs === undefined ? tooLong : AbortSignal.any([tooLong, AbortSignal.timeout(plan.hangUpAfterMs)])
    const result = await chat({
      url: options.url(),
      key,
      body: plan.body,
      agent,
      signal,
      ...(plan.idempotencyKey !== undefined && { headers: { 'idempotency-key': plan.idempotencyKey } }),
    })
    const { receipt, acknowledged, charged, content, errorCode, status } = result
    if (!acknowledged) {
      const why = errorCode ?? (status === 0 ? 'no answer' : `broken off after ${status}`)
      refusals.set(why, (refusals.get(why) ?? 0) + 1)
    }
    // A replay that was answered before names the receipt of the first call; that is how its client learns of it.
    if (receipt !== undefined)
      records.push({
        kind: plan.kind,
        stream: plan.body.stream === true,
        receipt,
        acknowledged: acknowledged && charged !== undefined ? { charged } : undefined,
        tokens: Math.ceil(content.length / 4),
        counted: acknowledged ? undefined : countTokens(content),
        idempotencyKey: plan.idempotencyKey,
        hung: tooLong.aborted,
      })
    else if (tooLong.aborted) throw new Error(`a ${plan.kind} call hung for ${CALL_MS_MAX} ms and was told nothing`)
    if (status === 0) await delay(DOWN_MS)
    return result
  }

  return {
    records,
    /** How many calls ended without a complete answer, by what the client was told. */
    refusals,
    /** Clients that broke down themselves: the run proves nothing then. */
    failures,
    /** Lets every client end its last call. */
    async stop(): Promise<void> {
      stopping.abort()
      await Promise.all(clients)
      if (failures.length > 0) throw failures[0]
    },
  }
}

/** Only a named call is made again: for any other the client cannot know whether it was charged. */
function shouldReplay(plan: CallPlan, result: ChatResult): boolean {
  if (plan.idempotencyKey === undefined || result.acknowledged) return false
  return result.status === 0 || !result.ended || result.headers['x-should-retry'] === 'true'
}

function planCall(random: Random, name: string): CallPlan {
  const messages = [{ role: 'user', content: `${PROMPT}${name}` }]
  const large = (sim: Record<string, unknown>) => ({ model: 'sim/large', messages, sim })
  const paced = (from: number, to: number, chunkMs: number) => ({
    ...large({
      tokens: random.integer(from, to),
      chunk_tokens: random.integer(1, 4),
      chunk_ms: random.integer(1, chunkMs),
    }),
    stream: true,
  })
  const whole = () => large({ tokens: random.integer(20, 400), first_byte_ms: random.integer(0, 60) })
  const fate = random.next()
  if (fate < 0.22) return { kind: 'whole', body: whole() }
  if (fate < 0.5) return { kind: 'stream', body: paced(20, 400, 4) }
  if (fate < 0.65) return { kind: 'long stream', body: paced(1_500, 5_000, 2) }
  if (fate < 0.7) {
    const sim = { tokens: random.integer(200, 2_500), chunk_ms: random.integer(1, 3), reasoning_tokens: 64 }
    return { kind: 'reasoning stream', body: { model: 'sim/reasoner', messages, sim, stream: true } }
  }
  if (fate < 0.78) return { kind: 'stream, hung up', body: paced(200, 3_000, 3), hangUpAfterMs: random.integer(5, 600) }
  if (fate < 0.82) return { kind: 'whole, hung up', body: whole(), hangUpAfterMs: random.integer(5, 60) }
  if (fate < 0.9) {
    const fault = random.pick<Record<string, unknown>>([
      { status: 500 },
      { cut_after: 20 },
      { error_after: 5 },
      { no_done: true },
      { usage: 'none' },
    ])
    return { kind: 'faulty upstream', body: { ...large({ tokens: 60, chunk_ms: 2, ...fault }), stream: true } }
  }
  const body = random.chance(0.5) ? whole() : paced(20, 200, 3)
  return { kind: 'named', body, idempotencyKey: `call-${name}` }
}
