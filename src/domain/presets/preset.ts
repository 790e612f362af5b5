import type { Protocol } from '#wire/protocol.ts'

/** What an upstream may be asked for: one path each. */
export type UpstreamProtocol = Protocol | 'count_tokens' | 'speech' | 'transcriptions' | 'translations'

/** How a request proves whose it is. */
export type UpstreamAuth =
  | { kind: 'none' }
  /**
   * Header templates; the first `{KEY}` of a value is replaced by the credential, literally. `optional`: without a
   * credential nothing is sent.
   */
  | { kind: 'headers'; headers: Readonly<Record<string, string>>; optional?: true }
  /** The credential is a Google service account key as JSON; a token is fetched with it. */
  | { kind: 'google' }
  /** The credential is an API key, or JSON with tenant_id, client_id and client_secret, with which a token is fetched. */
  | { kind: 'azure' }
  /** The credential is a Bedrock API key, or `ACCESS_KEY_ID:SECRET[:SESSION]`, with which each request is signed. */
  | { kind: 'aws'; service: string }

/** What an address is made of, beside the model: where in the cloud it is served. */
export interface PresetParam {
  /** The whole value. It becomes part of a host or a path, so nothing that means something there may match. */
  pattern: RegExp
  fallback: string | undefined
  /** Environment variable that the provider of the environment takes it from. */
  variable: string
  /** For the list of settings. */
  description: string
}

/** Where the environment gives a preset its credential. */
export type CredentialVariables =
  | { form: 'text'; variable: string }
  /** The path of a file whose text is the credential. */
  | { form: 'file'; variable: string }
  | { form: 'aws'; accessKeyId: string; secret: string; session: string }
  | { form: 'entra'; tenantId: string; clientId: string; secret: string }

export interface PresetEnvironment {
  /** Name of the provider, where it is not the preset's. A later row takes the place of an earlier one. */
  provider?: string
  /** A provider exists when one of these is set, and is refused at the start when something else is missing. */
  enabledBy: readonly string[]
  /** Variables that other programs set as well: they make a provider where nothing is missing, and no fault where it is. */
  ambient?: readonly string[]
  /** In the order in which they are looked for. Empty: the provider wants none. */
  credentials: readonly CredentialVariables[]
  credentialRequired: boolean
  baseUrl: { variable: string; description: string }
}

export interface Preset {
  /** As in `<name>/<model>`, on receipts and in the price book. */
  name: string
  title: string
  /**
   * Address with the version segment; `{param}` is a place for a parameter. Undefined: there is no default, the operator
   * gives one.
   */
  baseUrl: string | undefined
  /** Addresses for single values of a parameter that do not follow the rule of the others. */
  baseUrlOf?: { param: string; urls: Readonly<Record<string, string>> }
  /** Endings that people copy along with an address although the paths begin with them. */
  baseUrlEndings?: readonly string[]
  params: Readonly<Record<string, PresetParam>>
  /** Path per protocol that is spoken, relative to the address; `../` climbs. `{MODEL}` and `{param}` are places. */
  paths: Readonly<Partial<Record<UpstreamProtocol, string>>>
  auth: UpstreamAuth
  /** Where one protocol is authenticated otherwise. */
  authOf?: Readonly<Partial<Record<UpstreamProtocol, UpstreamAuth>>>
  /** What the provider calls the limit on a chat answer. */
  maxTokensMember: 'max_completion_tokens' | 'max_tokens'
  /** Whether `stream_options` may be sent. What is unknown is true: a refusal is learned from. */
  streamOptions: boolean
  /** `always`: a stream ends with its usage unasked. */
  usageInStream: 'asked' | 'always'
  environment: PresetEnvironment | undefined
  /** What differs from the protocol as its inventor speaks it; '' is nothing that we know. */
  notes: string
}
