import type { Credentials } from '#domain/credentials.ts'
import type { RoutedModel, RoutedUpstream } from '#domain/router/snapshot.ts'
import type { CallTarget, TargetCredential } from './target.ts'

/** One target for each credential of an upstream that opens, in their order; the others are told by their reason. */
export function perCredential<T>(
  credentials: Pick<Credentials, 'open'>,
  model: RoutedModel,
  upstream: RoutedUpstream,
  build: (credential: TargetCredential, weight: number) => T,
): (T | 'decrypt_failed')[] {
  return upstream.credentials.map((sealed) => {
    const credential = credentials.open(model.name, sealed)
    return credential === undefined ? 'decrypt_failed' : build(credential, sealed.weight)
  })
}

/** What a target takes from its upstream as it is configured, whatever it is spoken to in. */
export function placeOf(upstream: RoutedUpstream, groupIndex: number, credentialWeight: number) {
  return {
    groupIndex,
    upstreamWeight: upstream.weight,
    credentialWeight,
    maxConcurrency: upstream.maxConcurrency,
    eligible: true,
    firstByteMs: upstream.timeoutMs,
  } as const satisfies Partial<CallTarget>
}
