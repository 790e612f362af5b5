import { pricedTarget } from '#domain/call-context.ts'
import type { Credentials } from '#domain/credentials.ts'
import type { RoutedModel, RoutedUpstream } from '#domain/router/snapshot.ts'
import { perCredential, placeOf } from '#gateway/per-credential.ts'
import type { Exclusion } from '#gateway/route-errors.ts'
import type { CallTarget, TargetCredential } from '#gateway/target.ts'

/** One account of a vendor that hears while one speaks. */
export interface LiveTarget extends CallTarget {
  /** The operator's settings of a session. */
  options: Readonly<Record<string, unknown>>
  /** Where to dial, with a token, made anew for each session. Rejects where there is none. */
  open(): Promise<{ url: string; appkey: string }>
  /** The vendor refused the token: it is not used again. */
  rejected(): void
}

interface Account {
  accessKeyId: string
  accessKeySecret: string
}

const ADDRESS = 'wss://nls-gateway-cn-shanghai.aliyuncs.com/ws/v1'
const TOKEN_ADDRESS = 'https://nls-meta.cn-shanghai.aliyuncs.com/'

/**
 * Turns `aliyun-nls` upstreams into targets. The key is a token, or JSON with accessKeyId, accessKeySecret and appKey;
 * `adapterParams` may hold `appkey`, `tokenURL`, and `options` of the session.
 */
export function createLiveTargets(deps: {
  credentials: Pick<Credentials, 'open'>
  tokens: { tokenOf(url: string, account: Account): Promise<string>; forget(url: string, account: Account): void }
}) {
  return {
    fromConfig(model: RoutedModel, upstream: RoutedUpstream, groupIndex: number): (LiveTarget | Exclusion)[] {
      const { price, adapterParams: params } = upstream
      if (upstream.adapter !== 'aliyun-nls') return ['protocol_unsupported']
      if (price?.price.lines.seconds === undefined) return ['pricing_missing']
      const baseUrl = (upstream.baseUrl ?? ADDRESS).replace(/^http/, 'ws')
      const tokenUrl = textOf(params.tokenURL) ?? TOKEN_ADDRESS
      const build = (credential: TargetCredential, credentialWeight: number): LiveTarget => ({
        priced: pricedTarget({
          provider: upstream.provider,
          model: upstream.model,
          upstream: upstream.id,
          protocol: 'aliyun-nls',
          ...price,
        }),
        targetId: `${baseUrl} ${upstream.model}`,
        credentialId: `${new URL(baseUrl).origin} ${credential.id8}`,
        ...placeOf(upstream, groupIndex, credentialWeight),
        credential,
        options: objectOf(params.options),
        async open() {
          const key = accountOf(credential.use((plain) => plain))
          const appkey = textOf(params.appkey) ?? key.appkey
          if (appkey === undefined) throw new Error('the upstream needs the appkey of its project')
          const token = key.account === undefined ? key.token : await deps.tokens.tokenOf(tokenUrl, key.account)
          const url = new URL(baseUrl)
          url.searchParams.set('token', token)
          return { url: url.href, appkey }
        },
        rejected() {
          const { account } = accountOf(credential.use((plain) => plain))
          if (account !== undefined) deps.tokens.forget(tokenUrl, account)
        },
      })
      return perCredential(deps.credentials, model, upstream, build)
    },

    fromEnvironment: (): Exclusion => 'protocol_unsupported',
  }
}

function accountOf(key: string): { token: string; account: Account | undefined; appkey: string | undefined } {
  if (!key.trimStart().startsWith('{')) return { token: key, account: undefined, appkey: undefined }
  const value = objectOf(JSON.parse(key))
  const accessKeyId = textOf(value.accessKeyId)
  const accessKeySecret = textOf(value.accessKeySecret)
  if (accessKeyId === undefined || accessKeySecret === undefined) throw new Error('the key is no account')
  return { token: '', account: { accessKeyId, accessKeySecret }, appkey: textOf(value.appKey) ?? textOf(value.appkey) }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
