import { fillHeaderTemplates } from '#lib/header-template.ts'
import type { Preset, UpstreamAuth, UpstreamProtocol } from './presets/preset.ts'
import { presetTable } from './presets/table.ts'

export type { Preset, UpstreamAuth, UpstreamProtocol } from './presets/preset.ts'

/** An upstream that cannot be addressed as it is configured. The message is for operators and holds no secret. */
export class PresetError extends Error {
  override readonly name = 'PresetError'
}

const byName = new Map(presetTable.map((preset) => [preset.name, preset]))

/** Names of all presets, sorted. */
export const presetNames: readonly string[] = Object.freeze([...byName.keys()].sort())

/** Throws PresetError for a name that is none. */
export function resolvePreset(name: string): Preset {
  const preset = byName.get(name)
  if (preset === undefined) throw new PresetError(`no preset is named ${JSON.stringify(name.slice(0, 100))}`)
  return preset
}

export interface RequestLineInput {
  /** The operator's; undefined takes the preset's own. */
  baseUrl: string | undefined
  protocol: UpstreamProtocol
  /** What the provider calls the model. */
  model: string
  /** Parameters of the preset, such as `region`. Names that the preset does not know are ignored. */
  params?: Readonly<Record<string, unknown>>
}

/**
 * Where to send a request: `{ origin: 'https://api.openai.com', path: '/v1/chat/completions' }`. Throws PresetError for a
 * protocol that the preset does not speak, and for an address or parameter that cannot be used.
 */
export function requestLine(preset: Preset, input: RequestLineInput): { origin: string; path: string } {
  const template = preset.paths[input.protocol]
  if (template === undefined) throw new PresetError(`${preset.name} does not speak ${input.protocol}`)
  const params = presetParams(preset, input.params ?? {})
  const base = baseOf(preset, input.baseUrl, params)
  // Dots are left as they are by encodeURIComponent, and a folder of two of them climbs.
  if (template.includes('{MODEL}') && !/^(?!\.{1,2}$)[\x21-\x7e]{1,255}$/.test(input.model))
    throw new PresetError('the model is no name that a path can have')
  const values = { ...params, MODEL: encodeURIComponent(input.model) }
  const url = new URL(fill(template, values), base)
  return { origin: url.origin, path: `${url.pathname}${url.search}` }
}

/** The parameters that an address of this preset needs, checked. Throws PresetError. */
export function presetParams(preset: Preset, given: Readonly<Record<string, unknown>>): Record<string, string> {
  const params: Record<string, string> = {}
  for (const [name, { pattern, fallback }] of Object.entries(preset.params)) {
    const value = given[name] ?? fallback
    if (value === undefined) throw new PresetError(`${preset.name} needs the parameter ${name}`)
    if (typeof value !== 'string' || !pattern.test(value))
      throw new PresetError(`the parameter ${name} of ${preset.name} does not match ${pattern.source}`)
    params[name] = value
  }
  return params
}

/** How a protocol of a preset is authenticated. */
export function authOf(preset: Preset, protocol: UpstreamProtocol): UpstreamAuth {
  return preset.authOf?.[protocol] ?? preset.auth
}

/**
 * What an operator's header template means: `Bearer {KEY}` is the value of `authorization`; `api-key: {KEY}` names its
 * header.
 */
export function authOfTemplate(headerTemplate: string): UpstreamAuth {
  const named = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)$/s.exec(headerTemplate)
  const [name, value] = named === null ? ['authorization', headerTemplate] : [named[1] ?? '', named[2] ?? '']
  return { kind: 'headers', headers: { [name]: value } }
}

/** What a protocol asks for beside the credential. A client's own `anthropic-version` goes before ours. */
export function protocolHeaders(protocol: UpstreamProtocol): Record<string, string> {
  return protocol === 'messages' || protocol === 'count_tokens' ? { 'anthropic-version': '2023-06-01' } : {}
}

/**
 * Headers that need nothing but the key: `{ authorization: 'Bearer sk-…' }`. Takes a preset, or an operator's template.
 * Throws HeaderTemplateError for a key that no header can carry, PresetError where a token or a signature is needed: those
 * come from the adapter.
 */
export function authHeaders(
  preset: Preset | string,
  key: string | undefined,
  protocol: UpstreamProtocol = 'chat',
): Record<string, string> {
  const auth = typeof preset === 'string' ? authOfTemplate(preset) : authOf(preset, protocol)
  if (auth.kind === 'none') return {}
  if (auth.kind === 'headers') return auth.optional && key === undefined ? {} : fillHeaderTemplates(auth.headers, key)
  throw new PresetError(`${auth.kind} credentials are not a header by themselves`)
}

/** The address as a folder, so that paths can be resolved against it. */
function baseOf(preset: Preset, given: string | undefined, params: Record<string, string>): URL {
  const special = preset.baseUrlOf?.urls[params[preset.baseUrlOf.param] ?? '']
  const template = given ?? special ?? preset.baseUrl
  if (template === undefined) throw new PresetError(`${preset.name} needs an address`)
  const text = given === undefined ? fill(template, params) : given
  if (!URL.canParse(text)) throw new PresetError(`the address of ${preset.name} is not a URL`)
  const base = new URL(text)
  if (base.protocol !== 'https:' && base.protocol !== 'http:')
    throw new PresetError(`the address of ${preset.name} is neither http nor https`)
  if (base.username !== '' || base.password !== '')
    throw new PresetError(`the address of ${preset.name} holds a user or a password`)
  if (base.search !== '' || base.hash !== '') throw new PresetError(`the address of ${preset.name} has a query`)
  let path = base.pathname.replace(/\/+$/, '')
  const ending = preset.baseUrlEndings?.find((candidate) => path.endsWith(candidate))
  if (ending !== undefined) path = path.slice(0, -ending.length)
  return new URL(`${base.origin}${path}/`)
}

function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (place, name: string) => values[name] ?? place)
}
