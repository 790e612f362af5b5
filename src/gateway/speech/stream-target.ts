import { pricedTarget } from '#domain/call-context.ts'
import type { Credentials } from '#domain/credentials.ts'
import { authOfTemplate } from '#domain/presets.ts'
import type { RoutedModel, RouterSnapshot } from '#domain/router/snapshot.ts'
import { perCredential, placeOf } from '#gateway/per-credential.ts'
import { atLeastOne, type Exclusion } from '#gateway/route-errors.ts'
import { type CallRoute, type RouteTimeouts, timeoutsOf } from '#gateway/routes.ts'
import type { CallTarget, TargetCredential } from '#gateway/target.ts'
import type { Authenticator } from '#gateway/targets.ts'
import { AppError } from '#src/errors.ts'

/** One upstream under one credential that speaks over WebSocket. */
export interface StreamTarget extends CallTarget {
  url: string
  /** Headers with what proves whose a session is, made anew for each attempt. Throws, or rejects. */
  open(): Promise<Record<string, string>>
}

export interface StreamRoute extends CallRoute<StreamTarget> {
  /** What clients may ask for; empty allows every model. */
  models: readonly { readonly id: string; readonly name?: string; readonly description?: string }[]
  defaultModel: string | undefined
}

const BEARER = 'Bearer {KEY}'

/** Speech over WebSocket as the settings have it now. The result throws AppError: streaming_speech_not_configured, pricing_missing, decrypt_failed. */
export function createStreamRoute(deps: {
  snapshot: () => RouterSnapshot
  credentials: Pick<Credentials, 'open'>
  auth: Authenticator
  timeouts: RouteTimeouts
}) {
  let compiled: { from: RouterSnapshot; route: StreamRoute } | undefined

  function targetsOf(model: RoutedModel): (StreamTarget | Exclusion)[] {
    return model.groups.flatMap((group, groupIndex) =>
      group.upstreams.flatMap((upstream): (StreamTarget | Exclusion)[] => {
        const { price, baseUrl = '' } = upstream
        if (price?.price.lines.characters === undefined) return ['pricing_missing']
        const { origin } = new URL(baseUrl)
        const auth = authOfTemplate(upstream.headerTemplate ?? BEARER)
        const build = (credential: TargetCredential, credentialWeight: number): StreamTarget => ({
          priced: pricedTarget({
            provider: upstream.provider,
            model: upstream.model,
            upstream: upstream.id,
            protocol: 'speech-stream',
            ...price,
          }),
          targetId: baseUrl,
          credentialId: `${origin} ${credential.id8}`,
          ...placeOf(upstream, groupIndex, credentialWeight),
          credential,
          url: baseUrl,
          async open() {
            const key = credential.use((plain) => plain)
            const request = { origin, path: '', headers: upstream.headers, body: '', params: {} }
            return { ...upstream.headers, ...(await deps.auth.headersFor(auth, key, request)) }
          },
        })
        return perCredential(deps.credentials, model, upstream, build)
      }),
    )
  }

  function compile(snapshot: RouterSnapshot): StreamRoute {
    const { streamingTts } = snapshot
    if (streamingTts === undefined) throw new AppError('streaming_speech_not_configured')
    const { route: model, models, defaultModel } = streamingTts
    const all = targetsOf(model)
    return {
      model: model.name,
      label: model.name,
      configVersion: snapshot.version,
      targets: atLeastOne(
        all.filter((target) => typeof target !== 'string'),
        model.name,
        all.filter((target) => typeof target === 'string'),
      ),
      groups: model.groups,
      timeouts: timeoutsOf(model, deps.timeouts),
      maxConcurrency: model.limits.maxConcurrency,
      models,
      defaultModel,
    }
  }

  return {
    resolve(): StreamRoute {
      const snapshot = deps.snapshot()
      if (compiled?.from !== snapshot) compiled = { from: snapshot, route: compile(snapshot) }
      return compiled.route
    },
    /** What is configured, without a word about whether it can serve. */
    configured: () => deps.snapshot().streamingTts,
  }
}
