import { createHash } from 'node:crypto'
import type { TtsAdapter } from '#adapters/tts/adapter.ts'
import { pricedTarget } from '#domain/call-context.ts'
import type { Credentials } from '#domain/credentials.ts'
import { authOf, authOfTemplate, requestLine, resolvePreset, type UpstreamAuth } from '#domain/presets.ts'
import type { PriceBookEntry } from '#domain/price-book.ts'
import type { RoutedModel, RoutedUpstream } from '#domain/router/snapshot.ts'
import { perCredential, placeOf } from '#gateway/per-credential.ts'
import type { Exclusion } from '#gateway/route-errors.ts'
import type { CallTarget, TargetCredential } from '#gateway/target.ts'
import type { Authenticator, Provider } from '#gateway/targets.ts'
import { environmentCredential } from '#gateway/targets.ts'
import { basisOf } from './speech-meter.ts'

/** One vendor under one credential that could speak. */
export interface SpeechTarget extends CallTarget {
  /** Of the router config; empty for models of the environment. */
  upstreamId: string
  adapter: TtsAdapter
  baseUrl: string
  params: Readonly<Record<string, unknown>>
  /** What proves whose a request is, made anew for each attempt. Throws, or rejects, where the credential cannot be used. */
  open(): Promise<{ key: string; headers: Readonly<Record<string, string>> }>
}

/** Turns what is configured for speech into targets. What cannot serve is told by its reason instead. */
export function createSpeechTargets(deps: {
  adapters: ReadonlyMap<string, TtsAdapter>
  bookDigest: string
  credentials: Pick<Credentials, 'open'>
  auth: Authenticator
}) {
  /** The name of the vendor's counting rule; undefined where nothing that it counts has a price. */
  function ruleOf(adapter: TtsAdapter, model: string, params: SpeechTarget['params'], lines: object) {
    const count = adapter.count({ text: '.', model }, params)
    return basisOf(lines, count) === undefined ? undefined : count.rule
  }

  return {
    /** The targets of one upstream, one per credential that opens. */
    fromConfig(model: RoutedModel, upstream: RoutedUpstream, groupIndex: number): (SpeechTarget | Exclusion)[] {
      const { price, adapterParams: params } = upstream
      const adapter = deps.adapters.get(upstream.adapter ?? '')
      if (adapter === undefined) return ['protocol_unsupported']
      const rule = price && ruleOf(adapter, upstream.model, params, price.price.lines)
      if (price === undefined || rule === undefined) return ['pricing_missing']
      const baseUrl = upstream.baseUrl ?? ''
      const auth = upstream.headerTemplate === undefined ? undefined : authOfTemplate(upstream.headerTemplate)
      const origin = baseUrl === '' ? adapter.id : new URL(baseUrl).origin
      const build = (credential: TargetCredential | undefined, credentialWeight: number): SpeechTarget => ({
        priced: pricedTarget({
          provider: upstream.provider,
          model: upstream.model,
          upstream: upstream.id,
          protocol: rule,
          ...price,
        }),
        targetId: `${adapter.id} ${baseUrl} ${upstream.model}`,
        credentialId: `${origin} ${credential?.id8 ?? ''}`,
        ...placeOf(upstream, groupIndex, credentialWeight),
        credential,
        upstreamId: upstream.id,
        adapter,
        baseUrl,
        params,
        open: opener(deps.auth, credential, { auth, keyInHeaders: false, headers: upstream.headers, origin, path: '' }),
      })
      if (upstream.credentials.length === 0) return [build(undefined, 1)]
      return perCredential(deps.credentials, model, upstream, build)
    },

    /** Providers of the environment speak as OpenAI does. */
    fromEnvironment(provider: Provider, name: string, entry: PriceBookEntry): SpeechTarget | Exclusion {
      const preset = resolvePreset(provider.preset)
      const adapter = deps.adapters.get('openai')
      if (preset.paths.speech === undefined || adapter === undefined) return 'protocol_unsupported'
      const rule = ruleOf(adapter, name, {}, entry.price.lines)
      if (rule === undefined) return 'pricing_missing'
      const { baseUrl, params } = provider
      const line = requestLine(preset, { baseUrl, model: name, params, protocol: 'speech' })
      const credential = provider.apiKey && environmentCredential(provider.apiKey)
      const auth = authOf(preset, 'speech')
      return {
        priced: pricedTarget({
          provider: provider.name,
          model: name,
          protocol: rule,
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
        firstByteMs: undefined,
        upstreamId: '',
        adapter,
        baseUrl: `${line.origin}${line.path}`,
        params: {},
        open: opener(deps.auth, credential, { auth, keyInHeaders: true, headers: {}, ...line }),
      }
    },
  }
}

/** `keyInHeaders`: the preset says how the key is shown, so the adapter is not given it. */
function opener(
  authenticator: Authenticator,
  credential: TargetCredential | undefined,
  at: {
    auth: UpstreamAuth | undefined
    keyInHeaders: boolean
    headers: Readonly<Record<string, string>>
    origin: string
    path: string
  },
): SpeechTarget['open'] {
  const { auth, keyInHeaders, headers, origin, path } = at
  const request = { origin, path, headers, body: '', params: {} }
  return async () => {
    const key = credential?.use((plain) => plain)
    const proof = auth === undefined ? {} : await authenticator.headersFor(auth, key, request)
    return { key: keyInHeaders ? '' : (key ?? ''), headers: { ...headers, ...proof } }
  }
}

/** A short name of an upstream and its settings, for what is kept of it. */
export function upstreamKey({ adapter, baseUrl, params, credential }: SpeechTarget): string {
  const settings = JSON.stringify([adapter.id, baseUrl, params, credential?.id8])
  return createHash('sha256').update(settings).digest('hex')
}
