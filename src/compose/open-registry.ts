import { Counter, Gauge } from 'prom-client'
import { createRegistrySource } from '#adapters/registry-source.ts'
import type { Db } from '#db/pool.ts'
import type { PriceBook } from '#domain/price-book.ts'
import type { ModelTraits } from '#domain/registry/model-traits.ts'
import { createPublishedStore } from '#domain/registry/published-store.ts'
import { createRegistry, type ModelRegistry } from '#domain/registry/registry.ts'
import { createRegistryRefresh, publishedProviders } from '#domain/registry/registry-refresh.ts'
import { createRegistryVersions } from '#domain/registry/registry-versions.ts'
import type { Parts } from './parts.ts'

const FETCH_MS_MAX = 30_000

interface Below {
  db: Db
  priceBook: PriceBook
  traits: ModelTraits
}

/** The public registry of models, and what keeps it beside somebody else's where REGISTRY_URL names one. */
export async function openRegistry(
  { config, log, registry: metrics, opened }: Parts,
  { db, priceBook, traits }: Below,
): Promise<ModelRegistry> {
  const registry = createRegistry({ versions: createRegistryVersions({ db }), book: priceBook, traits })
  const baseUrl = config.REGISTRY_URL
  if (baseUrl === undefined) {
    await registry.publish(new Map())
    return registry
  }

  const failures = new Counter({
    name: 'fluxgate_registry_refresh_failures_total',
    help: 'Files of the published registry that could not be fetched or read, by the reason.',
    labelNames: ['provider', 'reason'],
    registers: [metrics],
  })
  const source = createRegistrySource({ baseUrl, timeoutMs: FETCH_MS_MAX })
  opened.defer(() => source.close())
  const refresh = createRegistryRefresh({
    registry,
    store: createPublishedStore({ db, source: baseUrl }),
    source: baseUrl,
    everyMs: config.REGISTRY_REFRESH_MS,
    fetchFile: (provider, etag, signal) => source.fetch(`${provider}/models.json`, etag, signal),
    onFailure(provider, reason, error) {
      failures.inc({ provider, reason })
      log.warn({ provider, reason, err: error }, 'the published registry could not be read; the last good one stays')
    },
  })
  new Gauge({
    name: 'fluxgate_registry_age_seconds',
    help: 'Since the published registry last gave a good answer, by provider; -1 before the first.',
    labelNames: ['provider'],
    registers: [metrics],
    collect() {
      for (const provider of publishedProviders) this.set({ provider }, refresh.ageSeconds(provider) ?? -1)
    },
  })
  await refresh.start()
  opened.defer(() => refresh.close())
  return registry
}
