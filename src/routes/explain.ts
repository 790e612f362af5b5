import type { RouteCandidate, RouteExplanation } from '#gateway/explain-route.ts'

const text = { type: 'string' as const }
const count = { type: 'integer' as const, minimum: 0 }
const flag = { type: 'boolean' as const }
const orNull = (type: 'string' | 'integer' | 'object') => ({ type: [type, 'null'] })
const money = { type: 'string' as const, pattern: '^(0|[1-9][0-9]{0,18})$', description: 'Nano-dollars.' }
const object = (properties: Record<string, object>, optional: readonly string[] = []) => ({
  type: 'object' as const,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
})
const list = (items: object) => ({ type: 'array' as const, items })

/** What the OpenAPI document says of the body of a dry run. */
export const explainRequest = {
  type: 'object' as const,
  required: ['model'],
  additionalProperties: true,
  properties: {
    model: { type: 'string' as const, examples: ['sim/echo'] },
    protocol: {
      type: 'string' as const,
      enum: ['chat', 'responses', 'messages', 'completions', 'embeddings'],
      default: 'chat',
      description: 'Of the route that the request would be sent to.',
    },
    stream: { type: 'boolean' as const, default: false },
    max_tokens: { type: 'integer' as const, minimum: 1 },
    messages: {
      type: 'array' as const,
      items: {},
      description: 'With `messages`, `input` or `prompt`: a whole request.',
    },
  },
  examples: [{ model: 'sim/echo', stream: true, max_tokens: 1000 }],
}

/** And of its answer. */
export const explainAnswer = object({
  object: { type: 'string' as const, enum: ['route_explanation'] },
  model: text,
  protocol: text,
  stream: flag,
  config_version: orNull('integer'),
  hold: object({
    amount_nanousd: { ...money, description: 'What would be held, if the wallet covers it.' },
    least_nanousd: { ...money, description: 'With less in the wallet the call is refused.' },
    prompt_tokens_max: count,
    output_tokens_max: count,
    worst_case: { ...flag, description: 'Whether the longest answer is held at once, and not in tranches.' },
  }),
  timeouts: object({
    attempt_ms: count,
    chain_ms: orNull('integer'),
    idle_ms: count,
    total_ms: count,
  }),
  hedge_after_ms: orNull('integer'),
  candidates: {
    description: 'In the order in which they would be asked. Weighted groups are drawn anew for each call.',
    ...list(
      object(
        {
          upstream: orNull('string'),
          provider: text,
          model: { ...text, description: 'As the provider knows it.' },
          protocol: text,
          translated: flag,
          losses: { ...list(text), description: 'Members of the request that it would not be told.' },
          key: { ...orNull('string'), description: 'The first 8 hex digits of the SHA-256 of the credential.' },
          group: count,
          verdict: { ...text, enum: ['usable', 'probe', 'cooling_down', 'saturated', 'excluded'] },
          reason: { ...text, description: 'Why it is excluded.' },
          last_resort: flag,
          share: { type: 'number' as const },
          price: { type: 'object' as const, additionalProperties: true },
          long_context: { ...orNull('object'), additionalProperties: true },
          health: list(
            object({
              of: { ...text, enum: ['target', 'credential', 'pair'] },
              state: { ...text, enum: ['open', 'half_open'] },
              open_for_ms: count,
              probing: flag,
              failures: count,
              reason: orNull('string'),
            }),
          ),
          in_flight: count,
          max_in_flight: orNull('integer'),
        },
        ['reason', 'share'],
      ),
    ),
  },
  excluded: {
    description: 'Upstreams, or keys of theirs, that could not serve any request on this route.',
    ...list(object({ upstream: text, provider: text, model: text, group: count, reason: text })),
  },
})

/** The dry run of a route as its caller sees it: never an address, a path, or more of a key than its first digits. */
export function renderExplanation({ route, request, hold, candidates, excluded }: RouteExplanation) {
  const { firstByteMs, chainMs, idleMs, totalMs } = route.timeouts
  return {
    object: 'route_explanation',
    model: route.model,
    protocol: request.protocol,
    stream: request.stream,
    config_version: route.configVersion ?? null,
    hold: {
      amount_nanousd: String(hold.amount),
      least_nanousd: String(hold.floor),
      prompt_tokens_max: hold.promptTokensMax,
      output_tokens_max: hold.outputTokensMax,
      worst_case: hold.worstCase,
    },
    timeouts: { attempt_ms: firstByteMs, chain_ms: chainMs ?? null, idle_ms: idleMs, total_ms: totalMs },
    hedge_after_ms: route.hedgeAfterMs ?? null,
    candidates: candidates.map(renderCandidate),
    excluded: excluded.map(({ groupIndex, ...upstream }) => ({ ...upstream, group: groupIndex })),
  }
}

function renderCandidate(candidate: RouteCandidate) {
  const { upstream, key, groupIndex, lastResort, longPrice, health, inflight, ...rest } = candidate
  return {
    ...rest,
    upstream: upstream ?? null,
    key: key ?? null,
    group: groupIndex,
    last_resort: lastResort,
    long_context:
      longPrice === undefined ? null : { above_tokens: longPrice.aboveTokens, lines: longPrice.price.lines },
    health: health.map(({ of, state, openForMs, probing, failures, reason }) => ({
      of,
      state,
      open_for_ms: Math.ceil(openForMs),
      probing,
      failures,
      reason: reason?.code ?? null,
    })),
    in_flight: inflight.count,
    max_in_flight: inflight.max ?? null,
  }
}
