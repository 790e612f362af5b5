import { unpricedKinds } from '#billing/price.ts'
import { pricedTarget } from '#domain/call-context.ts'
import type { Credentials } from '#domain/credentials.ts'
import {
  authOf,
  authOfTemplate,
  type Preset,
  presetParams,
  requestLine,
  resolvePreset,
  type UpstreamAuth,
} from '#domain/presets.ts'
import type { PriceBookEntry } from '#domain/price-book.ts'
import type { RoutedModel, RoutedUpstream } from '#domain/router/snapshot.ts'
import { perCredential, placeOf } from '#gateway/per-credential.ts'
import type { Exclusion } from '#gateway/route-errors.ts'
import type { CallTarget, TargetCredential } from '#gateway/target.ts'
import { type Authenticator, environmentCredential, type Provider } from '#gateway/targets.ts'

export type TranscriptionProtocol = 'transcriptions' | 'translations'

/** One upstream under one credential that could hear, with a form as OpenAI has it. */
export interface TranscriptionTarget extends CallTarget {
  url: string
  /** Headers with what proves whose a request is, made anew for each attempt. Throws, or rejects. */
  open(): Promise<Record<string, string>>
}

/** Whether a price can charge what is heard: by the second, by tokens, by the call. */
function pricesHearing(lines: Parameters<typeof unpricedKinds>[0]): boolean {
  const needed = [['seconds'], ['calls'], ['audio_input', 'output'], ['input', 'output']] as const
  return needed.some((kinds) => unpricedKinds(lines, kinds).length === 0)
}

/** Turns what is configured for transcriptions into targets. What cannot serve is told by its reason instead. */
export function createTranscriptionTargets(deps: {
  protocol: TranscriptionProtocol
  bookDigest: string
  credentials: Pick<Credentials, 'open'>
  auth: Authenticator
}) {
  const { protocol } = deps

  function lineOf(preset: Preset, at: Omit<Parameters<typeof requestLine>[1], 'protocol'>) {
    return preset.paths[protocol] === undefined ? undefined : requestLine(preset, { ...at, protocol })
  }

  function opener(
    auth: UpstreamAuth,
    credential: TargetCredential | undefined,
    at: { origin: string; path: string; headers: Readonly<Record<string, string>>; params: Record<string, string> },
  ): TranscriptionTarget['open'] {
    return async () => {
      const key = credential?.use((plain) => plain)
      return { ...at.headers, ...(await deps.auth.headersFor(auth, key, { ...at, body: '' })) }
    }
  }

  return {
    fromConfig(model: RoutedModel, upstream: RoutedUpstream, groupIndex: number): (TranscriptionTarget | Exclusion)[] {
      const { price, adapterParams: params } = upstream
      if (upstream.adapter !== 'openai') return ['protocol_unsupported']
      if (price === undefined || !pricesHearing(price.price.lines)) return ['pricing_missing']
      const preset = resolvePreset(upstream.preset)
      const line = lineOf(preset, { baseUrl: upstream.baseUrl, model: upstream.model, params })
      if (line === undefined) return ['protocol_unsupported']
      const auth =
        upstream.headerTemplate === undefined ? authOf(preset, protocol) : authOfTemplate(upstream.headerTemplate)
      const build = (credential: TargetCredential | undefined, credentialWeight: number): TranscriptionTarget => ({
        priced: pricedTarget({
          provider: upstream.provider,
          model: upstream.model,
          upstream: upstream.id,
          protocol,
          ...price,
        }),
        targetId: `${line.origin}${line.path} ${upstream.model}`,
        credentialId: `${line.origin} ${credential?.id8 ?? ''}`,
        ...placeOf(upstream, groupIndex, credentialWeight),
        credential,
        url: `${line.origin}${line.path}`,
        open: opener(auth, credential, {
          ...line,
          headers: upstream.headers,
          params: presetParams(preset, params),
        }),
      })
      if (upstream.credentials.length === 0) return [build(undefined, 1)]
      return perCredential(deps.credentials, model, upstream, build)
    },

    fromEnvironment(provider: Provider, name: string, entry: PriceBookEntry): TranscriptionTarget | Exclusion {
      const preset = resolvePreset(provider.preset)
      const { baseUrl, params } = provider
      const line = lineOf(preset, { baseUrl, model: name, params })
      if (line === undefined) return 'protocol_unsupported'
      if (!pricesHearing(entry.price.lines)) return 'pricing_missing'
      const credential = provider.apiKey && environmentCredential(provider.apiKey)
      return {
        priced: pricedTarget({
          provider: provider.name,
          model: name,
          protocol,
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
        url: `${line.origin}${line.path}`,
        open: opener(authOf(preset, protocol), credential, { ...line, headers: {}, params }),
      }
    },
  }
}
