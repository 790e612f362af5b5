import { completePrice } from '#billing/price.ts'
import type { Db } from '#db/pool.ts'
import { pricedTarget } from '#domain/call-context.ts'
import { createGrants } from '#domain/grants.ts'
import { createKeys } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { settlement } from '#domain/settlement.ts'
import { microsToText } from '#domain/usage/time-range.ts'
import type { UsageOrigin } from '#domain/usage/usage-filter.ts'
import { assert } from '#lib/assert.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { openTestLedger } from '#test/ledger/test-books.ts'
import type { TestDatabase } from '#test/support/database.ts'
import type { Random } from '#test/support/random.ts'
import { claimTestSlot } from '#test/support/slot.ts'

/** One call or one report, as a test remembers it. */
export interface UsageFact {
  id: string
  source: UsageOrigin
  atMicros: bigint
  project: UsageProject
  keyId: string
  provider: string
  model: string
  modelRequested: string
  alias: string | null
  profile: string | null
  origin: string | null
  inputTokens: number
  outputTokens: number
  cachedTokens: number
  costNanos: bigint | null
  conversationId: string | null
}

export interface UsageProject {
  id: string
  walletId: bigint
  account: string
  keys: { id: string; secret: string }[]
}

type Target = readonly [provider: string, model: string]

// One token costs one nano-dollar.
const price = completePrice({ lines: { input: 1_000n, output: 1_000n, cache_read: 1_000n } })
const targets: readonly [Target, ...Target[]] = [
  ['openai', 'gpt-4o-mini'],
  ['openai', 'gpt-4o'],
  ['anthropic', 'claude-sonnet'],
  ['azure', 'gpt-4o'],
]
const pricedTargets = targets.map(([provider, model]) =>
  pricedTarget({ provider, model, price, book: `sha256:${'0'.repeat(64)}` }),
)
const labels = ['summarizer', 'rapide', '__proto__', 'a "quoted", label', '=1+1', '42', 'ключ', null, null] as const

/**
 * Calls and reports of any time. Calls are settled by the real settlement, under a clock that the test sets: only the name
 * clock_timestamp() is another function while it runs.
 */
export async function createUsageHistory(database: TestDatabase) {
  const { db } = database
  await db.query(`
    create schema clock;
    create table clock.now (at timestamptz not null);
    insert into clock.now values (now());
    create function clock.clock_timestamp() returns timestamptz language sql volatile as 'select at from clock.now';
    do $do$ declare f regprocedure; begin
      for f in select oid::regprocedure from pg_proc where proname = 'settle' and pronamespace = 'fluxgate'::regnamespace loop
        execute format('alter function %s set search_path = clock, fluxgate, pg_catalog', f);
      end loop;
    end $do$`)
  const slot = await claimTestSlot(db)
  const { ledger } = await openTestLedger(database, slot)
  const projects = createProjects({ db })
  const keys = createKeys({ db })
  const grants = createGrants({ db, slot })

  async function openProject(name: string, keyCount = 2): Promise<UsageProject> {
    const { id, walletId, account } = await projects.create({ name })
    await grants.grant({
      projectId: id,
      amountNanos: 1_000_000_000_000n,
      reason: 'a test',
      actor: 'test',
      idempotencyKey: 'open',
    })
    const own: UsageProject['keys'] = []
    for (let n = 0; n < keyCount; n += 1) {
      const { key, secret } = await keys.create({ projectId: id, name: `key ${n}` })
      own.push({ id: key.id, secret })
    }
    return { id, walletId, account, keys: own }
  }

  /** A call through the gateway that ended at that time. */
  async function call(random: Random, project: UsageProject, atMicros: bigint): Promise<UsageFact> {
    const requestId = uuidv7Hex()
    const index = random.integer(0, targets.length - 1)
    const [provider, model] = targets[index] ?? targets[0]
    const keyId = random.pick(project.keys as [UsageProject['keys'][0]]).id
    const alias = random.pick(labels)
    const profile = random.pick(['prod', 'dev', null])
    const origin = random.pick(['web', '__proto__', null])
    const usage = {
      input: random.integer(0, 3_000),
      cache_read: random.integer(0, 500),
      output: random.integer(0, 900),
    }
    const context = {
      account: project.account,
      projectId: project.id,
      keyId,
      model: random.pick(['fast', `${provider}/${model}`]),
      stream: random.chance(0.5),
      targets: pricedTargets,
      ...(alias !== null && { aliasName: alias }),
      ...(profile !== null && { profile }),
      ...(origin !== null && { origin }),
    }
    const held = await ledger.reserve({
      requestId,
      attempt: uuidv7Hex(),
      walletId: project.walletId,
      amount: 10_000n,
      floor: 10_000n,
      bodyHash: Buffer.alloc(0),
      context: '{}',
    })
    assert(held.status === 'reserved' && held.seq !== null, 'the wallet has enough')
    await db.query('update clock.now set at = $1::text::timestamptz', [microsToText(atMicros)])
    const isVoid = random.chance(0.1)
    const op = settlement(
      { requestId, walletId: project.walletId, seq: held.seq, held: held.granted, context },
      {
        outcome: isVoid ? 'void' : 'complete',
        usage: isVoid ? {} : usage,
        usageSource: isVoid ? 'none' : 'provider',
        target: index,
        attempts: 1,
      },
      { log: 'test/1', nowMs: Number(atMicros / 1_000n) },
    )
    assert((await ledger.settle(op)).status === 'settled', 'the call is settled')
    return {
      id: dashed(requestId),
      source: 'gateway',
      atMicros,
      project,
      keyId,
      provider,
      model,
      modelRequested: context.model,
      alias,
      profile,
      origin,
      inputTokens: Number(op.inputTokens),
      outputTokens: Number(op.outputTokens),
      cachedTokens: isVoid ? 0 : usage.cache_read,
      costNanos: op.charged,
      conversationId: null,
    }
  }

  /** A report of a call that did not pass the gateway. */
  async function report(random: Random, project: UsageProject, atMicros: bigint): Promise<UsageFact> {
    const [provider, model] = random.pick(targets)
    const inputTokens = random.integer(0, 5_000)
    const fact: UsageFact = {
      id: dashed(uuidv7Hex()),
      source: 'reported',
      atMicros,
      project,
      keyId: random.pick(project.keys as [UsageProject['keys'][0]]).id,
      provider,
      model,
      modelRequested: model,
      alias: random.pick(labels),
      profile: random.pick(['default', 'prod']),
      origin: random.pick(['llmring', null]),
      inputTokens,
      outputTokens: random.integer(0, 900),
      cachedTokens: random.integer(0, inputTokens),
      costNanos: random.chance(0.2) ? null : BigInt(random.integer(0, 2_000_000_000)) * 7n,
      conversationId: random.chance(0.3) ? '018f0000-0000-7000-8000-00000000000a' : null,
    }
    await insertReport(db, fact)
    return fact
  }

  return { openProject, call, report, close: () => ledger.close() }
}

export type UsageHistory = Awaited<ReturnType<typeof createUsageHistory>>

/** What recording a report writes: the record, its series and its cell of the roll-up, in one commit. */
async function insertReport(db: Db, fact: UsageFact): Promise<void> {
  const { project } = fact
  await db.query(
    `with l as (
       insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, provider, model, alias_name, profile,
                                 origin, input_tokens, output_tokens, cached_input_tokens, usage, cost, cost_status, metadata,
                                 conversation_id, reported_cost)
       values ($1, $2, $3, $4, '', $5::text::timestamptz, $6, $7, $8, $9, $10, $11, $12, $13, '{}', $14, $15, '{"note":"=1"}', $16, 0.25)
       returning *, series_id(wallet_id, project_id, key_id, 2::smallint, provider, model, model, alias_name, profile, origin) as series
     ), s as (
       insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
       select series, wallet_id, project_id, key_id, 2, provider, model, model, alias_name, profile, origin from l
       on conflict do nothing
     )
     insert into usage_15m as u (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost, unpriced)
     select wallet_id, date_bin('15 minutes', occurred_at, '2000-01-01 00:00+00'), series, 1, input_tokens, output_tokens, 0, 0,
            coalesce(cost, 0), (cost is null)::int from l
     on conflict (wallet_id, bucket, series) do update set
       calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
       output_tokens = u.output_tokens + excluded.output_tokens, cost = u.cost + excluded.cost, unpriced = u.unpriced + excluded.unpriced`,
    [
      fact.id,
      project.walletId,
      project.id,
      fact.keyId,
      microsToText(fact.atMicros),
      fact.provider,
      fact.model,
      fact.alias,
      fact.profile,
      fact.origin,
      fact.inputTokens,
      fact.outputTokens,
      fact.cachedTokens,
      fact.costNanos,
      fact.costNanos === null ? 'model_unknown' : 'priced',
      fact.conversationId,
    ],
  )
}

function dashed(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
