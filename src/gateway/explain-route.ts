import type { IncomingMessage } from 'node:http'
import type { ReceiptPrice } from '#billing/receipt.ts'
import { requireModel } from '#domain/allowed-models.ts'
import { AppError } from '#src/errors.ts'
import type { Protocol } from '#wire/protocol.ts'
import type { TextRequest } from '#wire/text-request.ts'
import { priceHold } from './admit.ts'
import { authenticate } from './authenticate.ts'
import type { Exchange } from './call.ts'
import type { ExplainedPlan } from './dispatch/explain.ts'
import type { Gateway } from './gateway.ts'
import type { HoldPlan } from './hold-plan.ts'
import { interpretersFor, isStrict, servedBy } from './interpret.ts'
import { readBody } from './read-body.ts'
import { readTextRequest } from './read-text-request.ts'
import type { ExcludedUpstream, Route } from './routes.ts'
import type { Target } from './target.ts'
import { withBodyBudget } from './with-body-budget.ts'

type Explained = ExplainedPlan['candidates'][number]

/** One candidate of a dry run: nothing that says where it is or what its key is. */
export interface RouteCandidate extends Pick<Explained, 'groupIndex' | 'verdict' | 'reason' | 'lastResort' | 'share'> {
  upstream: string | undefined
  provider: string
  model: string
  /** What it is spoken to in; `translated` where that is not the caller's own. */
  protocol: Protocol
  translated: boolean
  /** Members of the request that it would not be told. */
  losses: readonly string[]
  /** The first 8 hex digits of the SHA-256 of the credential. */
  key: string | undefined
  price: ReceiptPrice
  longPrice: { aboveTokens: number; price: ReceiptPrice } | undefined
  /** What is remembered of the target, of the key, and of the two together. */
  health: readonly (Omit<Explained['health'][number], 'id' | 'openUntilMs'> & { of: string })[]
  inflight: Explained['inflight']
}

export interface RouteExplanation {
  route: Route
  request: Pick<TextRequest, 'protocol' | 'stream'>
  hold: HoldPlan
  /** In the order in which they would be asked; weighted groups are drawn anew each time. */
  candidates: readonly RouteCandidate[]
  excluded: readonly ExcludedUpstream[]
}

const PROMPT = 'Hi'
const MESSAGES = [{ role: 'user', content: PROMPT }]
const ANSWER_TOKENS = 1_024

/** Bodies that ask for as little as can be: for who names a model and no request. */
const smallest: Readonly<Record<Protocol, (maxTokens: unknown) => Record<string, unknown>>> = {
  chat: (max_completion_tokens) => ({ messages: MESSAGES, max_completion_tokens }),
  responses: (max_output_tokens) => ({ input: PROMPT, store: false, max_output_tokens }),
  messages: (max_tokens = ANSWER_TOKENS) => ({ messages: MESSAGES, max_tokens }),
  completions: (max_tokens) => ({ prompt: PROMPT, max_tokens }),
  embeddings: () => ({ input: PROMPT }),
}

/**
 * Says what a request would meet: who would be asked in which order, who would not and why, what would be held. Holds nothing
 * and asks nobody. Throws the AppError that the request itself would get before it is held.
 */
export async function explainRoute(
  gateway: Gateway,
  req: IncomingMessage,
  exchange: Exchange,
): Promise<RouteExplanation> {
  const caller = await authenticate(gateway, req)
  return withBodyBudget(gateway, async (onBytes) => {
    const request = readRequest(await readBody(gateway, req, onBytes))
    const route = gateway.routes.resolve(request.model, request.protocol)
    requireModel(caller, route.model)
    const { interpreters, refused } = interpretersFor(request, route.targets, exchange.id, isStrict(req))
    const hold = priceHold(request, { ...route, targets: servedBy(interpreters, refused, route.targets) })
    const targets = route.targets.map((target): Target => {
      const loss = refused.get(target.protocol)
      return loss === undefined ? target : { ...target, eligible: { excluded: `unsupported_parameter: ${loss.path}` } }
    })
    const plan = gateway.dispatcher.plan({ ...route, targets })
    const unmatched = [...targets]
    const candidates = plan.explain().candidates.flatMap((explained) => {
      const at = unmatched.findIndex((target) => isSame(target, explained))
      const [target] = at < 0 ? [] : unmatched.splice(at, 1)
      if (target === undefined) return []
      const losses = interpreters.get(target.protocol)?.losses.map(({ path }) => path) ?? []
      return [describe(target, explained, request, losses)]
    })
    return { route, request, hold, candidates, excluded: route.excluded }
  })
}

/** A whole request as its route takes it, or a model with what is known of the request. */
function readRequest(text: string): TextRequest {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (cause) {
    throw new AppError('body_malformed', { cause })
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new AppError('body_invalid', { message: 'Invalid request: it is not an object.' })
  const { protocol = 'chat', max_tokens: maxTokens, ...rest } = body as Record<string, unknown>
  if (typeof protocol !== 'string' || !Object.hasOwn(smallest, protocol))
    throw new AppError('body_invalid', {
      message: `Invalid request: 'protocol' is none of ${Object.keys(smallest).join(', ')}.`,
      param: 'protocol',
    })
  const spoken = protocol as Protocol
  const isWhole = ['messages', 'input', 'prompt'].some((member) => rest[member] !== undefined)
  const whole = { ...rest, ...(maxTokens !== undefined && { max_tokens: maxTokens }) }
  const asked = isWhole ? whole : { ...rest, ...smallest[spoken](maxTokens) }
  return readTextRequest({ protocol: spoken }, JSON.stringify(asked))
}

function isSame(target: Target, { targetId, credentialId, groupIndex }: Explained): boolean {
  return target.targetId === targetId && target.credentialId === credentialId && target.groupIndex === groupIndex
}

function describe(
  { priced, protocol, credential }: Target,
  explained: Explained,
  request: TextRequest,
  losses: readonly string[],
): RouteCandidate {
  const { groupIndex, verdict, reason, lastResort, share, health, inflight } = explained
  const { longContext } = priced.price
  const { base, long } = priced.encoded
  return {
    groupIndex,
    verdict,
    ...(reason !== undefined && { reason }),
    lastResort,
    ...(share !== undefined && { share }),
    upstream: priced.upstream,
    provider: priced.provider,
    model: priced.model,
    protocol,
    translated: protocol !== request.protocol,
    losses,
    key: credential?.id8,
    price: base,
    longPrice: longContext && long && { aboveTokens: longContext.aboveTokens, price: long },
    // An id begins with what it is of, and goes on with an address.
    health: health.map(({ id, openUntilMs: _, ...entry }) => ({ of: id.slice(0, id.indexOf(':')), ...entry })),
    inflight,
  }
}
