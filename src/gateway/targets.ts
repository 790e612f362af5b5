import { createHash } from 'node:crypto'
import type { UpstreamAuthenticator } from '#adapters/upstream-auth.ts'
import { unpricedKinds } from '#billing/price.ts'
import { pricedTarget } from '#domain/call-context.ts'
import type { Credentials } from '#domain/credentials.ts'
import {
  authOf,
  authOfTemplate,
  type Preset,
  PresetError,
  presetParams,
  protocolHeaders,
  requestLine,
  resolvePreset,
  type UpstreamAuth,
} from '#domain/presets.ts'
import type { PriceBookEntry } from '#domain/price-book.ts'
import type { RoutedModel, RoutedUpstream } from '#domain/router/snapshot.ts'
import type { Secret } from '#lib/secret.ts'
import type { Protocol } from '#wire/protocol.ts'
import { canTranslate } from './interpreter.ts'
import { perCredential, placeOf } from './per-credential.ts'
import type { Exclusion } from './route-errors.ts'
import type { Target, TargetCredential } from './target.ts'

/** One company's API under one credential, as the environment configures it. */
export interface Provider {
  name: string
  preset: string
  /** Undefined takes the preset's own. */
  baseUrl: string | undefined
  params: Record<string, string>
  apiKey: Secret | undefined
}

/** Makes the headers that prove whose a request is: at once, or after a token was fetched. */
export type Authenticator = Pick<UpstreamAuthenticator, 'headersFor' | 'rejected'>

/** Answers of a model whose own limit is unknown are held and limited to this. */
const OUTPUT_TOKENS_DEFAULT = 16_384

/** In which an upstream is spoken to when it does not speak the caller's own protocol, best first. */
const translatable: readonly Protocol[] = ['chat', 'messages', 'responses']

/** Where requests of one protocol go. */
interface Line {
  protocol: Protocol
  origin: string
  path: string
  params: Record<string, string>
  countPath: string | undefined
}

/** Turns what is configured into targets. What cannot serve is told by its reason instead. */
export function createTargets(deps: {
  bookDigest: string
  credentials: Pick<Credentials, 'open'>
  auth: Authenticator
}) {
  function connect(
    preset: Preset,
    at: { baseUrl: string | undefined; model: string; params: Readonly<Record<string, unknown>> },
    protocol: Protocol,
    only?: readonly string[],
  ): Line | Exclusion {
    const spoken = spokenProtocol(preset, protocol, only)
    if (spoken === undefined) return 'protocol_unsupported'
    const counts = spoken === 'messages' && preset.paths.count_tokens !== undefined
    try {
      return {
        protocol: spoken,
        ...requestLine(preset, { ...at, protocol: spoken }),
        params: presetParams(preset, at.params),
        countPath: counts ? requestLine(preset, { ...at, protocol: 'count_tokens' }).path : undefined,
      }
    } catch (error) {
      // A name that no path can hold, or a parameter that is missing: the other upstreams of the model serve.
      if (error instanceof PresetError) return 'unaddressable'
      throw error
    }
  }

  function authorizer(
    auth: UpstreamAuth,
    credential: TargetCredential | undefined,
    at: { origin: string; path: string; headers: Readonly<Record<string, string>>; params: Record<string, string> },
  ): Target['authorize'] {
    return (body) =>
      credential === undefined
        ? deps.auth.headersFor(auth, undefined, { ...at, body })
        : credential.use((key) => deps.auth.headersFor(auth, key, { ...at, body }))
  }

  return {
    /** The targets of one upstream, one per credential that opens; or why there is none. */
    fromConfig(
      model: RoutedModel,
      upstream: RoutedUpstream,
      groupIndex: number,
      protocol: Protocol,
    ): (Target | Exclusion)[] {
      const { price, limits, adapterParams: params } = upstream
      const kinds = model.surface === 'embedding' ? (['input'] as const) : (['input', 'output'] as const)
      if (price === undefined || unpricedKinds(price.price.lines, kinds).length > 0) return ['pricing_missing']
      const preset = resolvePreset(upstream.preset)
      const line = connect(
        preset,
        { baseUrl: upstream.baseUrl, model: upstream.model, params },
        protocol,
        upstream.protocols,
      )
      if (typeof line === 'string') return [line]
      const auth =
        upstream.headerTemplate === undefined ? authOf(preset, line.protocol) : authOfTemplate(upstream.headerTemplate)
      const headers = { ...plainHeaders, ...protocolHeaders(line.protocol), ...upstream.headers }
      const build = (credential: TargetCredential | undefined, credentialWeight: number): Target => ({
        priced: pricedTarget({
          provider: upstream.provider,
          model: upstream.model,
          upstream: upstream.id,
          protocol: line.protocol,
          ...price,
        }),
        targetId: `${line.origin}${line.path} ${upstream.model}`,
        credentialId: `${line.origin} ${credential?.id8 ?? ''}`,
        ...placeOf(upstream, groupIndex, credentialWeight),
        credential,
        ...line,
        headers,
        rejected: () => credential?.use(deps.auth.rejected),
        authorize: authorizer(auth, credential, { ...line, headers }),
        maxOutputTokens: limits.maxOutputTokens ?? OUTPUT_TOKENS_DEFAULT,
        outputLimitKnown: limits.maxOutputTokens !== undefined,
        hiddenReasoning: limits.hiddenReasoning,
        maxTokensMember: preset.maxTokensMember,
        streamOptions: preset.streamOptions,
      })
      if (upstream.credentials.length === 0) return [build(undefined, 1)]
      return perCredential(deps.credentials, model, upstream, build)
    },

    fromEnvironment(provider: Provider, name: string, entry: PriceBookEntry, protocol: Protocol): Target | Exclusion {
      const preset = resolvePreset(provider.preset)
      const { baseUrl, params } = provider
      const line = connect(preset, { baseUrl, model: name, params }, protocol)
      if (typeof line === 'string') return line
      const credential = provider.apiKey && environmentCredential(provider.apiKey)
      const headers = { ...plainHeaders, ...protocolHeaders(line.protocol) }
      return {
        priced: pricedTarget({
          provider: provider.name,
          model: name,
          protocol: line.protocol,
          price: entry.price,
          book: deps.bookDigest,
        }),
        targetId: `${line.origin}${line.path} ${name}`,
        credentialId: `${line.origin} ${credential?.id8 ?? ''}`,
        groupIndex: 0,
        upstreamWeight: 1,
        credentialWeight: 1,
        eligible: true,
        credential,
        ...line,
        headers,
        rejected: () => credential?.use(deps.auth.rejected),
        authorize: authorizer(authOf(preset, line.protocol), credential, { ...line, headers }),
        maxOutputTokens: entry.limits.maxOutputTokens ?? OUTPUT_TOKENS_DEFAULT,
        outputLimitKnown: entry.limits.maxOutputTokens !== undefined,
        hiddenReasoning: entry.reasoning,
        maxTokensMember: preset.maxTokensMember,
        streamOptions: preset.streamOptions,
        firstByteMs: undefined,
      }
    },
  }
}

const plainHeaders = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  'accept-encoding': 'identity',
  'user-agent': 'fluxgate',
}

/** The caller's own protocol where the upstream speaks it, else one that it can be translated into. */
function spokenProtocol(preset: Preset, protocol: Protocol, only?: readonly string[]): Protocol | undefined {
  const speaks = (spoken: Protocol) => preset.paths[spoken] !== undefined && (only?.includes(spoken) ?? true)
  if (speaks(protocol)) return protocol
  return translatable.find((spoken) => speaks(spoken) && canTranslate(protocol, spoken))
}

/** A key of the environment is in memory anyway. */
export function environmentCredential(secret: Secret): TargetCredential {
  const id8 = createHash('sha256').update(secret.reveal()).digest('hex').slice(0, 8)
  return { id8, use: (read) => read(secret.reveal()) }
}
