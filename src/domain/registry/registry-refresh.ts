import { hash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { PublishedFileError, parsePublishedFile } from './published-file.ts'
import type { PublishedStore, StoredFile } from './published-store.ts'
import type { ModelRegistry } from './registry.ts'
import type { Published } from './registry-models.ts'

/** What a source answers: a file, or that it is the one with this tag. */
type SourceAnswer = { content: string; etag: string | undefined } | 'unchanged'

export interface RegistryRefreshOptions {
  registry: ModelRegistry
  store: PublishedStore
  /** Its address, for whoever reads the registry. */
  source: string
  everyMs: number
  /** Throws with a `code` for metrics. */
  fetchFile(provider: string, etag: string | undefined, signal: AbortSignal): Promise<SourceAnswer>
  onFailure(provider: string, code: string, error: unknown): void
}

/** Those that llmring's registry publishes. */
export const publishedProviders = ['openai', 'anthropic', 'google'] as const

/** How often gateways look at what another one of them has fetched. */
const LOOK_MS_MAX = 60_000
const AGAIN_SECONDS_MAX = 300
/** Gateways that started together do not go on together. */
const JITTER = 0.1

/**
 * Asks a published registry in the background, one gateway for all, and shows what it says beside the price book. What cannot
 * be fetched or read changes nothing: the last good file stays.
 */
export function createRegistryRefresh(options: RegistryRefreshOptions) {
  const { registry, store, source, everyMs, fetchFile, onFailure } = options
  const everySeconds = everyMs / 1000
  const closing = new AbortController()
  const { signal } = closing
  let shown = ''
  const answeredAt = new Map<string, number>()

  async function ask(provider: string, known: StoredFile | undefined): Promise<void> {
    try {
      const answer = await fetchFile(provider, known?.content === undefined ? undefined : known.etag, signal)
      if (answer !== 'unchanged') parsePublishedFile(answer.content, provider)
      await store.succeed(provider, answer === 'unchanged' ? undefined : answer)
    } catch (error) {
      if (signal.aborted) return
      onFailure(provider, codeOf(error), error)
      await store.fail(provider, everySeconds, Math.min(everySeconds, AGAIN_SECONDS_MAX))
    }
  }

  /** Shows what is stored, when it is not what is shown. */
  async function show(): Promise<StoredFile[]> {
    const files = await store.load()
    for (const { provider, ageSeconds } of files)
      if (ageSeconds !== undefined) answeredAt.set(provider, performance.now() - ageSeconds * 1000)
    const digest = hash('sha256', JSON.stringify(files.map(({ provider, content }) => [provider, content])))
    if (digest === shown) return files
    await registry.publish(readFiles(files))
    shown = digest
    return files
  }

  function readFiles(files: readonly StoredFile[]): Published {
    const published = new Map<string, { source: string; file: ReturnType<typeof parsePublishedFile> }>()
    for (const { provider, content } of files) {
      if (content === undefined) continue
      try {
        published.set(provider, { source, file: parsePublishedFile(content, provider) })
      } catch (error) {
        // Another release has stored it, and reads it otherwise.
        onFailure(provider, codeOf(error), error)
      }
    }
    return published
  }

  async function tick(): Promise<void> {
    const known = await show()
    for (const provider of publishedProviders) {
      if (signal.aborted) return
      if (await store.claim(provider, everySeconds))
        await ask(
          provider,
          known.find((one) => one.provider === provider),
        )
    }
    await show()
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await tick().catch((error: unknown) => {
        if (!signal.aborted) onFailure('*', codeOf(error), error)
      })
      const waitMs = Math.min(everyMs, LOOK_MS_MAX) * (1 + JITTER * (2 * Math.random() - 1))
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  let running: Promise<void> = Promise.resolve()
  return {
    /** Shows what was stored before, and begins to ask. */
    async start(): Promise<void> {
      await show()
      running = run()
    },

    /** Seconds since the source last gave a good answer about this provider; undefined before the first. */
    ageSeconds(provider: string): number | undefined {
      const at = answeredAt.get(provider)
      return at === undefined ? undefined : (performance.now() - at) / 1000
    },

    async close(): Promise<void> {
      closing.abort()
      await running
    },
  }
}

function codeOf(error: unknown): string {
  if (error instanceof PublishedFileError) return 'invalid'
  const code = error instanceof Error ? Reflect.get(error, 'code') : undefined
  return typeof code === 'string' && /^[a-z0-9_]{1,40}$/.test(code) ? code : 'failed'
}
