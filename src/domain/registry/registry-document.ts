import { hash } from 'node:crypto'
import { sortedJson } from '#lib/sorted-json.ts'
import type { RegistryModel } from './registry-models.ts'
import { type RegistryVersion, WHOLE } from './registry-versions.ts'

/** A body and its tag, which changes exactly when the body does. */
export interface RegistryDocument {
  body: string
  etag: string
}

interface Content {
  models: Record<string, RegistryModel>
  [member: string]: unknown
}

/** Which models to show: those of one of the providers that have all capabilities. */
export interface RegistryFilter {
  providers?: readonly string[]
  /** `vision` for `supports_vision`; the name of any other member that is true. */
  capabilities?: readonly string[]
}

/** The document of a version: the whole registry as llmring-server serves it, a provider's as its registry publishes it. */
export function renderVersion({ name, version, updatedAt, content }: RegistryVersion): RegistryDocument {
  const members = JSON.parse(content) as Content
  const time = updatedAt.toISOString()
  if (name === WHOLE) return documentOf({ ...members, version: String(version), generated_at: time })
  const file = { ...members, version, updated_at: time }
  return documentOf({ ...file, content_sha256_jcs: hash('sha256', sortedJson(file)) })
}

/** Those models of a version of the whole registry that pass. */
export function renderFiltered(version: RegistryVersion, filter: RegistryFilter): RegistryDocument {
  const members = JSON.parse(version.content) as Content
  const models = Object.entries(members.models).filter(([, model]) => passes(model, filter))
  return renderVersion({ ...version, content: JSON.stringify({ ...members, models: Object.fromEntries(models) }) })
}

export function documentOf(value: unknown): RegistryDocument {
  const body = sortedJson(value)
  return { body, etag: `"${hash('sha256', body).slice(0, 32)}"` }
}

function passes(model: RegistryModel, { providers, capabilities = [] }: RegistryFilter): boolean {
  if (providers !== undefined && !providers.includes(String(model.provider))) return false
  return capabilities.every((name) => model[`supports_${name}`] === true || model[name] === true)
}
