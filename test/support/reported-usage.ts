import { randomUUID } from 'node:crypto'
import type { Db } from '#db/pool.ts'

/** A call that a client reported, as far as a test cares. */
export interface ReportedCall {
  id?: string
  occurredAt?: string
  receivedAt?: string
  provider?: string
  model?: string
  alias?: string | null
  profile?: string
  origin?: string | null
  idAtOrigin?: string | null
  inputTokens?: number
  outputTokens?: number
  cachedInputTokens?: number
  usage?: Record<string, number>
  latencyMs?: number | null
  /** Nano-dollars; null is not known. */
  cost?: bigint | null
  priceBook?: string | null
  reportedCost?: string | null
  metadata?: string
  conversationId?: string | null
}

interface Reporter {
  walletId: bigint
  projectId: string
  keyId: string
}

/** Puts reported usage and its roll-up into the database, in one commit. Returns the ids in the order of the calls. */
export async function reportUsage(db: Db, by: Reporter, calls: readonly ReportedCall[]): Promise<string[]> {
  const rows = calls.map((call) => {
    const { inputTokens = 1_000, outputTokens = 200, cachedInputTokens = 0 } = call
    const uncached = inputTokens - cachedInputTokens
    const usage = {
      ...(uncached > 0 && { input: uncached }),
      ...(cachedInputTokens > 0 && { cache_read: cachedInputTokens }),
      ...(outputTokens > 0 && { output: outputTokens }),
    }
    const cost = call.cost === undefined ? 270_000n : call.cost
    return {
      id: call.id ?? randomUUID(),
      occurred_at: call.occurredAt ?? '2026-11-22T10:00:00.123456Z',
      received_at: call.receivedAt ?? '2026-11-22T10:00:01Z',
      provider: call.provider ?? 'openai',
      model: call.model ?? 'gpt-4o-mini',
      alias_name: call.alias ?? null,
      profile: call.profile ?? 'default',
      origin: call.origin ?? null,
      id_at_origin: call.idAtOrigin ?? null,
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      cached_input_tokens: cachedInputTokens,
      usage: JSON.stringify(call.usage ?? usage),
      latency_ms: call.latencyMs ?? null,
      cost: cost === null ? null : cost.toString(),
      cost_status: cost === null ? 'unpriced' : 'priced',
      price_book: cost === null ? null : (call.priceBook ?? `sha256:${'0'.repeat(64)}`),
      reported_cost: call.reportedCost ?? null,
      metadata: call.metadata ?? '{}',
      conversation_id: call.conversationId ?? null,
    }
  })
  await db.query(
    `with r as (
       insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, received_at, provider, model,
                                 alias_name, profile, origin, id_at_origin, input_tokens, output_tokens,
                                 cached_input_tokens, usage, latency_ms, cost, cost_status, price_book, reported_cost,
                                 metadata, conversation_id)
       select id, $2, $3, $4, '', occurred_at, received_at, provider, model, alias_name, profile, origin, id_at_origin,
              input_tokens, output_tokens, cached_input_tokens, usage, latency_ms, cost, cost_status, price_book,
              reported_cost, metadata, conversation_id
       from json_populate_recordset(null::reported_log, $1::json) returning *
     ), s as (
       select series_id(wallet_id, project_id, key_id, 2::smallint, provider, model, model, alias_name, profile, origin) as series, *
       from r
     ), named as (
       insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
       select distinct on (series) series, wallet_id, project_id, key_id, 2, provider, model, model, alias_name, profile, origin
       from s order by series on conflict do nothing
     )
     insert into usage_15m as u (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost, unpriced)
     select wallet_id, date_bin('15 minutes', occurred_at, '2000-01-01 00:00+00'), series, count(*), sum(input_tokens),
            sum(output_tokens), 0, 0, coalesce(sum(cost), 0), count(*) filter (where cost is null)
     from s group by 1, 2, 3
     on conflict (wallet_id, bucket, series) do update set
       calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
       output_tokens = u.output_tokens + excluded.output_tokens, cost = u.cost + excluded.cost,
       unpriced = u.unpriced + excluded.unpriced`,
    [JSON.stringify(rows), by.walletId, by.projectId, by.keyId],
  )
  return rows.map(({ id }) => id)
}
