import { Counter, Gauge } from 'prom-client'
import { createRedisChannel } from '#adapters/redis.ts'
import type { Db } from '#db/pool.ts'
import type { CredentialAlarms } from '#domain/credential-alarms.ts'
import { createCredentials } from '#domain/credentials.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { encodeInvalidation, INVALIDATION_CHANNEL } from '#domain/router/invalidation.ts'
import { createRouterFeed } from '#domain/router/router-feed.ts'
import { createRouterStore } from '#domain/router/router-store.ts'
import type { WrittenState } from '#domain/router/stored-state.ts'
import { createRouterEditor } from '#domain/router-editor.ts'
import { createSettingsEditor } from '#domain/settings-editor.ts'
import { createSettingsStore } from '#domain/settings-store.ts'
import { createSliceEditor } from '#domain/slice-editor.ts'
import type { Parts } from './parts.ts'

/** The router config: where it is kept, what serves now, who opens its keys. */
export async function openRouter(
  { config, installation, log, registry, opened }: Parts,
  db: Db,
  priceBook: PriceBook,
  alarms: Pick<CredentialAlarms, 'note'>,
) {
  const registers = [registry]
  const reloads = new Counter({
    name: 'fluxgate_router_reloads_total',
    help: 'Looks at the stored router config, by what made this process look and what came of it.',
    labelNames: ['source', 'outcome'],
    registers,
  })
  const decryptFailures = new Counter({
    name: 'fluxgate_credential_decrypt_failures_total',
    help: 'Provider keys of the router config that do not open. Their upstreams are skipped.',
    labelNames: ['model', 'key'],
    registers,
  })
  const rules = { priceBook, fluxNanousd: BigInt(config.FLUX_NANOUSD) }
  let redisToldAway = false
  const redis =
    config.REDIS_URL === undefined
      ? undefined
      : createRedisChannel({
          url: config.REDIS_URL,
          channel: INVALIDATION_CHANNEL,
          onError(error) {
            // Tried again every few seconds: said loudly once.
            log[redisToldAway ? 'debug' : 'warn']({ err: error }, 'redis is away; nothing depends on it')
            redisToldAway = true
          },
        })
  opened.defer(async () => redis?.close())
  const announce = (written: WrittenState) => redis?.publish(encodeInvalidation(written, Date.now()))
  const store = createRouterStore({ db, ...rules, announce })
  const feed = createRouterFeed({
    db,
    ...rules,
    ...(redis && { subscribe: redis.subscribe }),
    onReload({ source, outcome, version, problems, error }) {
      reloads.inc({ source, outcome })
      if (outcome === 'swapped' && version > 0) log.info({ source, version }, 'the router config was swapped')
      if (outcome === 'kept') log.error({ source, version, problems }, 'the stored router config cannot be used')
      if (outcome === 'failed') log.warn({ source, err: error }, 'the router config could not be read')
    },
    onInterrupted: (error) => log.warn({ err: error }, 'changes of the router config are not heard for a moment'),
  })
  opened.defer(() => feed.close())
  await feed.started()
  new Gauge({
    name: 'fluxgate_router_config_version',
    help: 'Version of the router config that this process serves with; 0 where none is stored.',
    registers,
    collect() {
      this.set(feed.status().version)
    },
  })
  new Gauge({
    name: 'fluxgate_router_config_stale',
    help: '1 while a newer router config is stored that this process cannot use.',
    registers,
    collect() {
      this.set(feed.status().stale === undefined ? 0 : 1)
    },
  })
  const credentials = createCredentials({
    keys: installation.envelopeKeys,
    onUndecryptable({ modelName, keyEntryId, reason, first }) {
      decryptFailures.inc({ model: modelName, key: keyEntryId })
      const data = { model: modelName, credential: keyEntryId }
      alarms.note({ credential: `${modelName}|${keyEntryId}`, data, reason: 'undecryptable' })
      if (first) log.error({ model: modelName, key: keyEntryId, reason }, 'a provider key does not open; it is skipped')
    },
  })
  const editing = { store, settings: createSettingsStore({ db, announce }), credentials }
  const editors = {
    router: createRouterEditor(editing),
    routerSlices: createSliceEditor(editing),
    settings: createSettingsEditor(editing),
  }
  return { feed, credentials, editors }
}
