import { parseBaseUrl } from './http/connection.ts'
import { type Labels, labelHeaders } from './labels.ts'
import { lockDigest } from './lock-digest.ts'
import { createLockfile } from './lockfile.ts'
import { gatewayModel } from './model-ref.ts'
import { type LockfileSet, type ResolveOptions, resolveModel } from './resolve.ts'

export interface FluxgateOptions extends Pick<ResolveOptions, 'profile' | 'env'> {
  /** Where the gateway is, as in `https://gateway.example`; a `/v1` at its end is not needed and does no harm. */
  baseUrl: string
  apiKey: string
  /** Without one, only models can be asked for, as provider:model. */
  lockfiles?: LockfileSet | undefined
  origin?: string | undefined
  /** Provider of the lockfile to provider of the gateway, where they differ. By default `google` is `gemini`. */
  gatewayProviders?: Readonly<Record<string, string>> | undefined
}

/** Where a name leads on the gateway. */
export interface Target {
  /** The first model of the pool, as the gateway calls it. */
  model: string
  /** The whole pool, for `failover`. */
  models: readonly [string, ...string[]]
  /** The labels of the call, as headers. */
  headers: Readonly<Record<string, string>>
}

/** What a constructor of the OpenAI or Anthropic SDK has to take. */
export interface SdkOptions {
  baseURL: string
  apiKey: string
  defaultHeaders: Record<string, string>
}

/** What a provider factory of the AI SDK has to take. */
export interface AiSdkOptions {
  name: string
  baseURL: string
  apiKey: string
  headers: Record<string, string>
}

type Sdk = new (options: SdkOptions) => object
type Extra<K extends Sdk> = Partial<NonNullable<ConstructorParameters<K>[0]>>

export interface SdkClient<C> extends Pick<Target, 'model' | 'models'> {
  client: C
}

export interface Fluxgate {
  /** The models and labels of an alias, or of provider:model, for any other client. Throws ResolutionError. */
  target(name: string): Target
  /** A client of the class `OpenAI` for this name. `extra` are further options of its constructor. */
  openai<K extends Sdk>(OpenAI: K, name: string, extra?: Extra<K>): SdkClient<InstanceType<K>>
  /** The same for the class `Anthropic`. */
  anthropic<K extends Sdk>(Anthropic: K, name: string, extra?: Extra<K>): SdkClient<InstanceType<K>>
  /** A model of the AI SDK, by `createOpenAI`, `createAnthropic` or `createOpenAICompatible`. */
  aiSdk<M>(
    create: (options: AiSdkOptions) => (model: string) => M,
    name: string,
  ): { model: M; models: readonly [M, ...M[]] }
}

/** Reads nothing and opens nothing: the lockfile and the environment are handed in. Throws TypeError for an unusable base URL. */
export async function createFluxgate(options: FluxgateOptions): Promise<Fluxgate> {
  const root = parseBaseUrl(options.baseUrl)
  const { apiKey, origin, gatewayProviders } = options
  const digest = options.lockfiles === undefined ? undefined : await lockDigest(options.lockfiles.lockfile)
  const lockfiles = options.lockfiles ?? { lockfile: createLockfile(new Date(0)), extended: new Map() }

  function target(name: string): Target {
    const { alias, profile, pool } = resolveModel(lockfiles, name, options)
    const labels: Labels = { origin, profile }
    if (alias !== undefined) Object.assign(labels, { aliasName: alias, lockDigest: digest })
    const [first, ...others] = pool
    const model = gatewayModel(first, gatewayProviders)
    return {
      model,
      models: [model, ...others.map((ref) => gatewayModel(ref, gatewayProviders))],
      headers: labelHeaders(labels),
    }
  }

  function open<K extends Sdk>(Class: K, baseURL: string, name: string, extra: Extra<K> | undefined) {
    const { model, models, headers } = target(name)
    const given = extra === undefined ? undefined : Reflect.get(extra, 'defaultHeaders')
    const settings = { ...extra, baseURL, apiKey, defaultHeaders: { ...given, ...headers } }
    return { client: new Class(settings) as InstanceType<K>, model, models }
  }

  return {
    target,
    openai: (OpenAI, name, extra) => open(OpenAI, `${root}/v1`, name, extra),
    anthropic: (Anthropic, name, extra) => open(Anthropic, root, name, extra),
    aiSdk(create, name) {
      const { models, headers } = target(name)
      const provider = create({ name: 'fluxgate', baseURL: `${root}/v1`, apiKey, headers: { ...headers } })
      const [first, ...others] = models
      const model = provider(first)
      return { model, models: [model, ...others.map((other) => provider(other))] }
    },
  }
}
