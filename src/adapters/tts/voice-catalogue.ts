import { assert } from '#lib/assert.ts'
import type { Voice } from '#wire/speech-format.ts'
import type { TtsAdapter, TtsContext } from './adapter.ts'

export interface CatalogueOptions {
  /** Upstreams whose lists are kept; the one that was asked for longest ago makes room. */
  entriesMax: number
  /** After a failure the vendor is left alone for this long. */
  retryAfterMs: number
  /** Monotonic milliseconds. */
  now?: () => number
  /** Hears of a list that could not be loaded; the old or the shipped one is served. */
  onFailure: (adapterId: string, error: unknown) => void
}

export interface Catalogue {
  voices: readonly Voice[]
  /** Live within its time, live but older, or what is shipped. */
  source: 'live' | 'stale' | 'shipped'
}

/** As much of an adapter as its list needs. */
type ListedAdapter = Pick<TtsAdapter, 'id' | 'voicesTtlMs' | 'shippedVoices' | 'voices'>

/** How the vendor is asked for its list; a credential may have to be opened first. */
type ContextMaker = () => TtsContext | Promise<TtsContext>

interface Entry {
  voices: readonly Voice[] | undefined
  freshUntil: number
  retryAt: number
  loading: Promise<void> | undefined
}

/** Vendors' voices, kept for as long as each vendor's list is good. However many ask at once, a vendor is asked once. */
export function createVoiceCatalogue(options: CatalogueOptions) {
  assert(options.entriesMax > 0, 'a catalogue holds at least one list')
  const now = options.now ?? (() => performance.now())
  const entries = new Map<string, Entry>()

  function entryOf(key: string): Entry {
    const entry = entries.get(key) ?? { voices: undefined, freshUntil: 0, retryAt: 0, loading: undefined }
    entries.delete(key)
    if (entries.size >= options.entriesMax) {
      const [oldest] = entries.keys()
      if (oldest !== undefined) entries.delete(oldest)
    }
    entries.set(key, entry)
    return entry
  }

  async function load(entry: Entry, adapter: ListedAdapter, context: ContextMaker): Promise<void> {
    try {
      const voices = await adapter.voices(await context())
      // A vendor with no voices at all has a fault, not a new catalogue.
      if (voices.length === 0) throw new Error('the vendor lists no voices')
      entry.voices = voices
      entry.freshUntil = now() + (adapter.voicesTtlMs ?? 0)
    } catch (error) {
      entry.retryAt = now() + options.retryAfterMs
      options.onFailure(adapter.id, error)
    } finally {
      entry.loading = undefined
    }
  }

  return {
    /**
     * `key` names the upstream and its config. The context's signal must not be one client's: others may wait for the same
     * list. Never throws: without a list there is what is shipped.
     */
    async voices(key: string, adapter: ListedAdapter, context: ContextMaker): Promise<Catalogue> {
      if (adapter.voicesTtlMs === undefined) return { voices: adapter.shippedVoices, source: 'shipped' }
      const entry = entryOf(key)
      if (entry.voices !== undefined && now() < entry.freshUntil) return { voices: entry.voices, source: 'live' }
      if (entry.loading === undefined && now() >= entry.retryAt) entry.loading = load(entry, adapter, context)
      // An old list is good enough to answer with while the new one is fetched.
      if (entry.voices !== undefined) return { voices: entry.voices, source: 'stale' }
      await entry.loading
      return entry.voices === undefined
        ? { voices: adapter.shippedVoices, source: 'shipped' }
        : { voices: entry.voices, source: 'live' }
    },

    /** What is known without asking anybody: the last list, or the shipped one. */
    known(key: string, adapter: ListedAdapter): readonly Voice[] {
      return entries.get(key)?.voices ?? adapter.shippedVoices
    },

    get size(): number {
      return entries.size
    },
  }
}

export type VoiceCatalogue = ReturnType<typeof createVoiceCatalogue>
