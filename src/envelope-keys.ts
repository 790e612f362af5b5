import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { loadOrCreateKey, parseKey } from '#adapters/key-file.ts'
import { deriveEnvelopeKey, type EnvelopeKeys } from '#lib/envelope.ts'
import type { Config } from './config.ts'

const WHAT = 'master key'

/**
 * What provider keys are sealed with: from the environment, else from DATA_DIR, where it is made at the first call. Throws
 * Error with what to do.
 */
export async function openEnvelopeKeys(config: Config): Promise<EnvelopeKeys> {
  if (config.LLM_ROUTER_MASTER_KEY === undefined && !config.embedded)
    throw new Error(
      'With DATABASE_URL set, LLM_ROUTER_MASTER_KEY must be set too: the provider keys are sealed with it.',
    )
  const previous = config.LLM_ROUTER_MASTER_KEY_PREVIOUS
  return {
    current: derived(
      config.LLM_ROUTER_MASTER_KEY === undefined
        ? await keptIn(config.DATA_DIR)
        : parseKey(config.LLM_ROUTER_MASTER_KEY.reveal(), WHAT),
    ),
    previous: previous === undefined ? undefined : derived(parseKey(previous.reveal(), WHAT)),
  }
}

async function keptIn(dir: string): Promise<Buffer> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  return loadOrCreateKey(join(dir, 'llm-router-master-key'), WHAT)
}

function derived(masterKey: Buffer) {
  try {
    return deriveEnvelopeKey(masterKey)
  } finally {
    masterKey.fill(0)
  }
}
