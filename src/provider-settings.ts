import { readFileSync, statSync } from 'node:fs'
import type { CredentialVariables, Preset, PresetEnvironment } from '#domain/presets/preset.ts'
import { presetTable } from '#domain/presets/table.ts'
import { Secret } from '#lib/secret.ts'
import { optional, type Setting, secret, url } from '#lib/settings.ts'

/** A provider of the environment: one company's API under one credential. */
export interface ProviderSetting {
  name: string
  /** Row of the preset table. */
  preset: string
  /** Undefined takes the preset's own. */
  baseUrl: string | undefined
  params: Record<string, string>
  apiKey: Secret | undefined
}

type Values = Readonly<Record<string, unknown>>
type ProviderPreset = Preset & { environment: PresetEnvironment }

const presets = presetTable.filter((preset): preset is ProviderPreset => preset.environment !== undefined)
const CREDENTIAL_BYTES_MAX = 65_536

/** Every variable that a preset takes anything from. Presets that share one describe it by the first of them. */
export const providerSettings: Readonly<Record<string, Setting<Secret | string | undefined>>> = Object.fromEntries(
  presets
    .flatMap((preset) => settingsOf(preset))
    .filter(([variable], index, all) => all.findIndex(([other]) => other === variable) === index),
)

/** The providers that the settings make, and what is missing of those that are begun. Reads the files that they name. */
export function readProviders(values: Values): { found: ProviderSetting[]; problems: string[] } {
  const found = new Map<string, ProviderSetting>()
  const problems: string[] = []
  for (const preset of presets) {
    const { environment } = preset
    const begun = environment.enabledBy.some((variable) => values[variable] !== undefined)
    const maybe = environment.ambient?.some((variable) => values[variable] !== undefined) ?? false
    if (!begun && !maybe) continue
    const { provider, missing } = readProvider(preset, values)
    if (missing.length === 0) found.set(provider.name, provider)
    else if (begun) problems.push(...missing.map((what) => `${what}, for ${provider.name}`))
  }
  return { found: [...found.values()], problems: [...new Set(problems)] }
}

function readProvider(preset: ProviderPreset, values: Values): { provider: ProviderSetting; missing: string[] } {
  const { environment } = preset
  const missing: string[] = []
  const { variable } = environment.baseUrl
  const baseUrl = textOf(values[variable])
  if (baseUrl === undefined && preset.baseUrl === undefined) missing.push(`${variable} must be set`)
  const params: Record<string, string> = {}
  for (const [name, param] of Object.entries(preset.params)) {
    const value = textOf(values[param.variable]) ?? param.fallback
    if (value === undefined) missing.push(`${param.variable} must be set`)
    else if (!param.pattern.test(value)) missing.push(`${param.variable} must match ${param.pattern.source}`)
    else params[name] = value
  }
  let apiKey: string | undefined
  for (const credential of environment.credentials) {
    try {
      apiKey ??= readCredential(credential, values)
    } catch {
      missing.push(
        `${variablesOf(credential).join()} must be the path of a file that can be read and is no longer than 64 KiB`,
      )
    }
  }
  if (apiKey === undefined && environment.credentialRequired && missing.length === 0)
    missing.push(
      `${environment.credentials.map((credential) => variablesOf(credential).join(' and ')).join(', or ')} must be set`,
    )
  const name = environment.provider ?? preset.name
  const secretKey = apiKey === undefined ? undefined : new Secret(apiKey)
  return { provider: { name, preset: preset.name, baseUrl, params, apiKey: secretKey }, missing }
}

/** As the adapters take it. Throws where a file cannot be read. */
function readCredential(credential: CredentialVariables, values: Values): string | undefined {
  const [first, second, third] = variablesOf(credential).map((variable) => textOf(values[variable]))
  if (first === undefined) return undefined
  if (credential.form === 'text') return first
  if (credential.form === 'file') {
    if (statSync(first).size > CREDENTIAL_BYTES_MAX) throw new RangeError('the file is too long')
    return readFileSync(first, 'utf8')
  }
  if (second === undefined) return undefined
  if (credential.form === 'aws') {
    const session = textOf(values[credential.session])
    return [first, second, ...(session === undefined ? [] : [session])].join(':')
  }
  return third && JSON.stringify({ tenant_id: first, client_id: second, client_secret: third })
}

/** All that must be set. */
function variablesOf(credential: CredentialVariables): string[] {
  switch (credential.form) {
    case 'aws':
      return [credential.accessKeyId, credential.secret]
    case 'entra':
      return [credential.tenantId, credential.clientId, credential.secret]
    default:
      return [credential.variable]
  }
}

type NamedSetting = [variable: string, setting: Setting<Secret | string | undefined>]

function settingsOf(preset: ProviderPreset): NamedSetting[] {
  const { baseUrl, credentials } = preset.environment
  return [
    ...credentials.flatMap((credential) => credentialSettings(preset, credential)),
    [baseUrl.variable, url(baseUrl.description, ['http:', 'https:'])],
    ...Object.values(preset.params).map(
      ({ variable, description, fallback = '–' }): NamedSetting => [
        variable,
        { ...plainText(description), fallbackText: fallback },
      ],
    ),
  ]
}

function credentialSettings(
  { name, title, environment }: ProviderPreset,
  credential: CredentialVariables,
): NamedSetting[] {
  const models = `\`${name}/<model>\``
  if (credential.form === 'file')
    return [
      [credential.variable, plainText(`Path of the service account key for ${models}. Read where that is enabled.`)],
    ]
  if (credential.form === 'text') {
    const enables = environment.enabledBy.includes(credential.variable)
    const words = enables ? `Enables ${models}: ${title}.` : `Key for ${models}, where the server wants one.`
    return [[credential.variable, secret(words)]]
  }
  const all = variablesOf(credential)
  const instead = `Instead of a key for ${models}: ${all.join(', ')}.`
  const settings = all.map((variable): NamedSetting => [variable, secret(instead)])
  if (credential.form === 'aws')
    settings.push([credential.session, secret(`With temporary credentials for ${models}.`)])
  return settings
}

function plainText(description: string): Setting<string | undefined> {
  return optional({ description, parse: (value) => value })
}

function textOf(value: unknown): string | undefined {
  if (value instanceof Secret) return value.reveal()
  return typeof value === 'string' ? value : undefined
}
