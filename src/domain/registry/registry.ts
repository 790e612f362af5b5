import { resolvePreset } from '#domain/presets.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { createBoundedCache } from '#lib/bounded-cache.ts'
import { sortedJson } from '#lib/sorted-json.ts'
import type { ModelTraits } from './model-traits.ts'
import {
  documentOf,
  type RegistryDocument,
  type RegistryFilter,
  renderFiltered,
  renderVersion,
} from './registry-document.ts'
import { llmringProvider, type Published, registryModels } from './registry-models.ts'
import { type RegistryVersion, type RegistryVersions, WHOLE } from './registry-versions.ts'

const CACHED_MAX = 100
const CACHED_MS = 3_600_000
const SCHEMA_VERSION = '2.0'

/** What llmring-server says of the providers that it knows. */
const llmringProviders = {
  openai: { name: 'OpenAI', base_url: 'https://api.openai.com/v1', models_endpoint: '/models' },
  anthropic: { name: 'Anthropic', base_url: 'https://api.anthropic.com', models_endpoint: null },
  google: {
    name: 'Google',
    base_url: 'https://generativelanguage.googleapis.com',
    models_endpoint: '/v1/models',
  },
}

interface State {
  whole: RegistryVersion
  providers: ReadonlyMap<string, RegistryVersion>
  documents: ReadonlyMap<string, RegistryDocument>
  manifest: RegistryDocument
}

/**
 * The public registry of models: what this gateway charges, by its price book, and what somebody else's registry says
 * beside that. Served from memory; every content it ever had keeps its number. The book alone decides what calls cost.
 */
export function createRegistry(deps: { versions: RegistryVersions; book: PriceBook; traits: ModelTraits }) {
  const { versions, book, traits } = deps
  const filtered = createBoundedCache<RegistryDocument>({ entriesMax: CACHED_MAX })
  const archived = createBoundedCache<RegistryDocument>({ entriesMax: CACHED_MAX })
  let state: State | undefined

  /** Shows this from now on. Contents that are new get numbers. */
  async function publish(published: Published): Promise<void> {
    const models = registryModels(book, traits, published)
    const recorded = new Map<string, RegistryVersion>()
    for (const [provider, rows] of models) {
      const sources = sourcesOf(published, (name) => name === provider)
      const content = sortedJson({ provider, sources, models: rows })
      recorded.set(provider, await versions.record(provider, content, updatedAt(published, provider)))
    }
    const whole = await versions.record(
      WHOLE,
      sortedJson({
        models: Object.assign({}, ...models.values()),
        providers: providersOf([...models.keys()]),
        sources: sourcesOf(published, () => true),
      }),
      updatedAt(published),
    )
    const all = [whole, ...recorded.values()]
    state = {
      whole,
      providers: recorded,
      documents: new Map(all.map((version) => [version.name, renderVersion(version)])),
      manifest: documentOf(manifestOf(whole, recorded)),
    }
    filtered.clear()
  }

  function sourcesOf(published: Published, isShown: (provider: string) => boolean) {
    const shown = [...published].filter(([provider]) => isShown(provider))
    return {
      price_book: { version: book.version, digest: book.digest, source: book.source },
      traits: { source: traits.source },
      ...(shown.length > 0 && {
        published: Object.fromEntries(
          shown.map(([provider, { source, file }]) => [
            provider,
            { source, version: file.version, ...(file.updatedAt && { updated_at: file.updatedAt.toISOString() }) },
          ]),
        ),
      }),
    }
  }

  /** As new as the newest of what it is made from, by their own words; what says nothing of its age is as new as this moment. */
  function updatedAt(published: Published, only?: string): Date {
    const bookAt = Date.parse(book.version.slice(0, 10))
    const times = [...published]
      .filter(([provider]) => only === undefined || provider === only)
      .map(([, { file }]) => file.updatedAt?.getTime() ?? Number.NaN)
    const known = [bookAt, ...times].filter((time) => !Number.isNaN(time))
    return new Date(known.length === 0 ? Date.now() : Math.max(...known))
  }

  const current = (): State => {
    if (state === undefined) throw new Error('the registry is published before it is served')
    return state
  }

  return {
    publish,

    /** The whole registry, or those of its models that pass. */
    whole({ providers, capabilities }: RegistryFilter): RegistryDocument | undefined {
      const { whole, documents } = current()
      if (providers === undefined && capabilities === undefined) return documents.get(WHOLE)
      const names = providers?.map(llmringProvider)
      const key = JSON.stringify([names, capabilities])
      const known = filtered.get(key)
      if (known !== undefined) return known
      const document = renderFiltered(whole, {
        ...(names && { providers: names }),
        ...(capabilities && { capabilities }),
      })
      filtered.set(key, document, CACHED_MS)
      return document
    },

    /** A provider's models as llmring's registry publishes them; undefined for one that has none. */
    provider: (name: string): RegistryDocument | undefined => current().documents.get(fileName(name)),

    /** What the versions are now. */
    manifest: (): RegistryDocument => current().manifest,

    /** What was served under this number; undefined for a number that was never given. Without a provider: the whole. */
    async archived(version: number, provider?: string): Promise<RegistryDocument | undefined> {
      const name = provider === undefined ? WHOLE : fileName(provider)
      const key = `${name} ${version}`
      const known = archived.get(key)
      if (known !== undefined) return known
      const found = await versions.find(name, version)
      if (found === undefined) return undefined
      const document = renderVersion(found)
      archived.set(key, document, CACHED_MS)
      return document
    },
  }
}

export type ModelRegistry = ReturnType<typeof createRegistry>

/** Nobody may ask for the whole by the name of a provider. */
function fileName(provider: string): string {
  return provider === WHOLE ? '' : llmringProvider(provider)
}

/** Addresses of the providers: llmring's own words where it has some. One without a fixed address is not listed. */
function providersOf(names: readonly string[]) {
  const others = names.flatMap((name) => {
    const preset = name in llmringProviders ? undefined : findPreset(name)
    if (preset?.baseUrl === undefined) return []
    return [[name, { name: preset.title, base_url: preset.baseUrl, models_endpoint: null }] as const]
  })
  return { ...Object.fromEntries(others), ...llmringProviders }
}

function findPreset(name: string) {
  try {
    return resolvePreset(name)
  } catch {
    return undefined
  }
}

function manifestOf(whole: RegistryVersion, providers: ReadonlyMap<string, RegistryVersion>) {
  return {
    version: String(whole.version),
    updated_at: whole.updatedAt.toISOString(),
    schema_version: SCHEMA_VERSION,
    providers: Object.fromEntries(
      [...providers].map(([name, { version, updatedAt, content }]) => [
        name,
        {
          file: `${name}/models.json`,
          model_count: Object.keys((JSON.parse(content) as { models: object }).models).length,
          last_updated: updatedAt.toISOString().slice(0, 10),
          version,
        },
      ]),
    ),
  }
}
