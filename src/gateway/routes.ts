import { unpricedKinds } from '#billing/price.ts'
import { type PricedTarget, pricedTarget } from '#domain/call-context.ts'
import type { PriceBook, PriceBookEntry } from '#domain/price-book.ts'
import { nearNames } from '#lib/near-names.ts'
import type { Secret } from '#lib/secret.ts'
import { AppError } from '#src/errors.ts'

/** One company's API under one credential, as configured. */
export interface Provider {
  name: string
  /** With the version segment, as in `https://api.openai.com/v1`. */
  baseUrl: string
  apiKey: Secret | undefined
  /** What this provider calls the limit on the answer. */
  maxTokensMember: 'max_completion_tokens' | 'max_tokens'
}

/** One upstream that could serve a call: where to send it, what it may cost, how far it may go. */
export interface Target {
  priced: PricedTarget
  origin: string
  path: string
  headers: Record<string, string>
  maxOutputTokens: number
  /** Whether the provider itself enforces maxOutputTokens. */
  outputLimitKnown: boolean
  /** Tokens that the client never sees: progress cannot be watched, so the worst case is held. */
  hiddenReasoning: boolean
  maxTokensMember: Provider['maxTokensMember']
  /** Cleared when the upstream refuses `stream_options`; its usage is then counted here. */
  streamOptions: boolean
}

/** What a model name stands for: its targets in the order in which they are tried. */
export interface Route {
  model: string
  /** What metrics call it: a name of the price book, so that clients cannot make up any number of them. */
  label: string
  targets: readonly [Target, ...Target[]]
}

/** Answers of a model whose own limit is unknown are held and limited to this. */
const OUTPUT_TOKENS_DEFAULT = 16_384

/** Resolves `provider/model` names. Nothing is guessed: a model without a price is refused, a near name is only named. */
export function createRoutes(deps: { providers: readonly Provider[]; priceBook: PriceBook }) {
  const providers = new Map(deps.providers.map((provider) => [provider.name, provider]))
  const routes = new Map<string, Route>()
  const listed = deps.priceBook
    .models()
    .filter((entry) => entry.active && entry.endpoint === 'chat' && providers.has(entry.provider))
    .filter((entry) => !entry.model.includes('*'))
  const catalogued = new Set(deps.priceBook.models().map((entry) => entry.provider))

  function resolve(model: string): Route {
    let route = routes.get(model)
    if (route !== undefined) return route
    const slash = model.indexOf('/')
    const provider = providers.get(model.slice(0, slash))
    if (slash < 1 || provider === undefined) throw unknownModel(model)
    const name = model.slice(slash + 1)
    const entry = deps.priceBook.find(provider.name, name)
    // Where the book knows a provider's models, one that it does not know is a slip; elsewhere only its price is unknown.
    if (entry === undefined && catalogued.has(provider.name)) throw unknownModel(model)
    if (entry === undefined || unpricedKinds(entry.price.lines, ['input', 'output']).length > 0)
      throw new AppError('pricing_missing', {
        message: `The model ${quote(model)} has no price in the price book, so it cannot be charged.`,
        param: 'model',
      })
    const label = `${entry.provider}/${entry.model}`
    route = { model, label, targets: [createTarget(provider, name, entry, deps.priceBook.digest)] }
    // Names come from clients, so only as many are kept as there could honestly be.
    if (routes.size < 10_000) routes.set(model, route)
    return route
  }

  function unknownModel(model: string): AppError {
    const near = nearNames(
      model,
      listed.map((entry) => `${entry.provider}/${entry.model}`),
    )
    const hint = near.length > 0 ? ` Did you mean ${near.map(quote).join(', ')}?` : ' GET /v1/models lists the models.'
    return new AppError('model_not_found', { message: `No model is named ${quote(model)}.${hint}`, param: 'model' })
  }

  return {
    /** Throws AppError: model_not_found, pricing_missing. */
    resolve,
    models: (): readonly PriceBookEntry[] => listed,
  }
}

export type Routes = ReturnType<typeof createRoutes>

function createTarget(provider: Provider, name: string, entry: PriceBookEntry, book: string): Target {
  const base = new URL(provider.baseUrl)
  return {
    priced: pricedTarget({ provider: provider.name, model: name, price: entry.price, book }),
    origin: base.origin,
    path: `${base.pathname.replace(/\/+$/, '')}/chat/completions`,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'accept-encoding': 'identity',
      'user-agent': 'fluxgate',
      ...(provider.apiKey && { authorization: `Bearer ${provider.apiKey.reveal()}` }),
    },
    maxOutputTokens: entry.limits.maxOutputTokens ?? OUTPUT_TOKENS_DEFAULT,
    outputLimitKnown: entry.limits.maxOutputTokens !== undefined,
    hiddenReasoning: entry.reasoning,
    maxTokensMember: provider.maxTokensMember,
    streamOptions: true,
  }
}

/** What a target is sent as its credential: ours, and for no client to see. */
export function credentialOf(target: Target): string | undefined {
  return target.headers.authorization?.replace(/^Bearer /, '')
}

function quote(name: string): string {
  return `'${name.length > 100 ? `${name.slice(0, 100)}…` : name}'`
}
