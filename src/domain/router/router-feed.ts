import { createListener } from '#db/listener.ts'
import type { Db } from '#db/pool.ts'
import { createSettings, type Settings, type StoredSettings } from '#domain/settings.ts'
import { type CompileRules, compileRouter } from './compile.ts'
import { isInvalidation } from './invalidation.ts'
import type { ConfigProblem } from './router-document.ts'
import { EMPTY_SNAPSHOT, type RouterSnapshot } from './snapshot.ts'
import {
  ROUTER_CHANNEL,
  readOlderConfigs,
  readState,
  readVersions,
  type StoredState,
  type StoredVersions,
  type UsableConfig,
  usableConfig,
  usableSettings,
} from './stored-state.ts'

const POLL_MS = 5_000
const LOAD_MS_MAX = 5_000

/** What made this process look: its start, a NOTIFY, a Redis message, a listener that is back, or the clock. */
export type ReloadSource = 'start' | 'notify' | 'redis' | 'listening' | 'poll' | 'asked'

export interface Reload {
  source: ReloadSource
  /** `kept`: something newer is stored that this release cannot use. `failed`: the database did not answer. */
  outcome: 'swapped' | 'unchanged' | 'kept' | 'failed'
  /** Of the config that serves from now on. */
  version: number
  problems: readonly ConfigProblem[]
  error?: unknown
}

export interface RouterStatus {
  /** Of the config that serves; 0 when none is stored. */
  version: number
  digest: string
  settingsVersion: number
  /** Unix milliseconds; undefined before the first load. */
  loadedAt: number | undefined
  /** What is stored and cannot be used, and why. What was good before goes on serving. */
  stale?: { version: number; problems: readonly ConfigProblem[] }
}

/** Hears messages of one channel. `onListening`: earlier ones may have been missed. */
export type Subscribe = (handlers: { onMessage: (text: string) => void; onListening: () => void }) => {
  close(): Promise<void>
}

export interface RouterFeedOptions extends CompileRules {
  db: Db
  /** A second way to hear of writes, beside NOTIFY; see INVALIDATION_CHANNEL. */
  subscribe?: Subscribe
  pollMs?: number
  /** After every look at the database, with what came of it. */
  onReload?: (reload: Reload) => void
  /** NOTIFY is not heard for a while; the clock still asks. */
  onInterrupted?: (error: unknown) => void
}

/**
 * Holds the router config and the settings that this process serves with, and swaps them whole after a write, on any process,
 * within a second. Asking costs nothing. Writes are heard by NOTIFY, by Redis where there is one, and by asking every few
 * seconds; none of these is trusted further than to look what is stored.
 */
export function createRouterFeed(options: RouterFeedOptions) {
  const { db, pollMs = POLL_MS, onReload = () => undefined, onInterrupted = () => undefined } = options
  let snapshot = EMPTY_SNAPSHOT
  let settings: Settings = createSettings(undefined)
  let values: StoredSettings = new Map()
  let config: (UsableConfig & { version: number }) | undefined
  let seen: StoredVersions | undefined
  let loadedAt: number | undefined
  let stale: RouterStatus['stale']
  /** The database has lost what this process has seen: a replica, or a backup, took its place. */
  let wentBack: RouterStatus['stale']

  let running: { result: Promise<void>; asked: boolean } | undefined
  let next: Promise<void> | undefined

  /** Looks again, after everything that is written now. However many ask, one look at a time is under way. */
  function reload(source: ReloadSource): Promise<void> {
    if (running === undefined) {
      const look = { result: Promise.resolve(), asked: false }
      running = look
      look.result = (async () => {
        await Promise.resolve() // Whoever asks in the same moment is served by this look.
        look.asked = true
        try {
          await lookAndTell(source)
        } finally {
          running = undefined
        }
      })()
      return look.result
    }
    if (!running.asked) return running.result
    // That look may have read before the write that made us ask, so another one follows it.
    next ??= running.result.then(() => {
      next = undefined
      return reload(source)
    })
    return next
  }

  async function lookAndTell(source: ReloadSource): Promise<void> {
    let result: Pick<Reload, 'outcome' | 'error'>
    try {
      result = { outcome: await look() }
    } catch (error) {
      result = { outcome: 'failed', error }
    }
    onReload({ source, ...result, version: snapshot.version, problems: (wentBack ?? stale)?.problems ?? [] })
  }

  async function look(): Promise<Reload['outcome']> {
    if (seen !== undefined && isSame(seen, await readVersions(db, LOAD_MS_MAX))) {
      wentBack = undefined
      return 'unchanged'
    }
    const state = await readState(db, LOAD_MS_MAX)
    const versions = versionsOf(state)
    wentBack = undefined
    if (seen !== undefined && isSame(seen, versions)) return 'unchanged'
    if (seen !== undefined && (versions.config < seen.config || versions.settings < seen.settings)) {
      wentBack = {
        version: versions.config,
        problems: [{ path: '', message: 'is older than what this process has seen' }],
      }
      return 'kept'
    }
    await take(state)
    seen = versions
    loadedAt = Date.now()
    return stale === undefined ? 'swapped' : 'kept'
  }

  /** Everything is worked out before anything is swapped. */
  async function take(state: StoredState): Promise<void> {
    const problems: ConfigProblem[] = []
    const fresh = usableSettings(state.settings)
    problems.push(...fresh.problems)
    const kept = new Map(fresh.values)
    for (const [key, value] of fresh.values) {
      const before = values.get(key)
      if (value === 'invalid' && before !== undefined) kept.set(key, before)
    }

    let usable: (UsableConfig & { version: number }) | undefined
    if (state.config !== undefined) {
      const found = usableConfig(state.config)
      if ('problems' in found) {
        problems.push(...found.problems)
        usable = config ?? (await lastGood(state.config.version))
      } else usable = { ...found, version: state.config.version }
    }
    const freshSettings = createSettings(kept)
    const { snapshot: compiled } = compileRouter({
      ...options,
      document: usable?.document ?? {},
      version: usable?.version ?? 0,
      digest: usable?.digest ?? EMPTY_SNAPSHOT.digest,
      settings: freshSettings,
    })
    snapshot = compiled
    settings = freshSettings
    values = kept
    config = usable
    stale = problems.length > 0 ? { version: state.config?.version ?? 0, problems } : undefined
  }

  /** A process that starts when the newest version is bad serves with the newest one that is not. */
  async function lastGood(before: number): Promise<(UsableConfig & { version: number }) | undefined> {
    for (const row of await readOlderConfigs(db, before, LOAD_MS_MAX)) {
      const found = usableConfig(row)
      if (!('problems' in found)) return { ...found, version: row.version }
    }
    return undefined
  }

  const first = reload('start')
  const listener = createListener({
    db,
    channel: ROUTER_CHANNEL,
    onMessage: () => void reload('notify'),
    onListening: () => void reload('listening'),
    onInterrupted,
  })
  const subscription = options.subscribe?.({
    onMessage(text) {
      if (isInvalidation(text)) void reload('redis')
    },
    onListening: () => void reload('listening'),
  })
  const clock = setInterval(() => void reload('poll'), pollMs)
  clock.unref()

  return {
    /** What to serve with now. */
    snapshot: (): RouterSnapshot => snapshot,

    /** The settings of the same moment. Before the first load their readers throw config_unavailable. */
    settings: (): Settings => settings,

    /** Resolves after the first look, whatever came of it. */
    started: (): Promise<void> => first,

    /** Resolves when everything that is written now has been looked at. */
    reload: (): Promise<void> => reload('asked'),

    status(): RouterStatus {
      const unused = wentBack ?? stale
      return {
        version: snapshot.version,
        digest: snapshot.digest,
        settingsVersion: seen?.settings ?? 0,
        loadedAt,
        ...(unused !== undefined && { stale: unused }),
      }
    },

    async close(): Promise<void> {
      clearInterval(clock)
      await Promise.all([listener.close(), subscription?.close()])
      await (next ?? running?.result)
    },
  }
}

export type RouterFeed = ReturnType<typeof createRouterFeed>

function versionsOf(state: StoredState): StoredVersions {
  const { config, settingsVersion } = state
  return { config: config?.version ?? 0, digest: config?.digest, settings: settingsVersion }
}

/** A restored backup may count a version twice: then the digest differs. */
function isSame(one: StoredVersions, other: StoredVersions): boolean {
  return one.config === other.config && one.settings === other.settings && one.digest === other.digest
}
