import assert from 'node:assert/strict'
import { type TtsAdapter, type TtsAnswer, type TtsContext, TtsFault } from '#adapters/tts/adapter.ts'
import { createTtsAdapters, LINK_HOST_SUFFIXES } from '#adapters/tts/tts-adapters.ts'
import { faultOfStatus } from '#gateway/upstream-fault.ts'
import { speechFormats } from '#wire/speech-formats.ts'

/** All adapters, wired as the gateway wires them; links may lead to the given hosts on loopback. */
export function createTtsBench(linkInsecureHosts: readonly string[] = []) {
  const tts = createTtsAdapters({
    formats: speechFormats,
    faultOfStatus,
    connectionsMax: 8,
    connectTimeoutMs: 2_000,
    linkHostSuffixes: LINK_HOST_SUFFIXES,
    linkInsecureHosts,
  })
  return {
    adapter(id: string): TtsAdapter {
      const adapter = tts.adapters.get(id)
      assert(adapter, `${id} is no adapter`)
      return adapter
    },
    close: () => tts.close(),
  }
}

/** A call with roomy limits. */
export function ttsContext(base: Partial<TtsContext> & { baseUrl: string; key: string }): TtsContext {
  return {
    params: {},
    headers: {},
    signal: new AbortController().signal,
    limits: { audioBytesMax: 1_000_000, firstByteMs: 5_000, idleMs: 5_000 },
    ...base,
  }
}

/** All of an answer's audio, and in how many pieces it came. */
export async function hear(answer: TtsAnswer): Promise<{ audio: Buffer; pieces: number }> {
  const pieces: Buffer[] = []
  for await (const piece of answer.body) pieces.push(piece)
  return { audio: Buffer.concat(pieces), pieces: pieces.length }
}

/** The fault that a call ends with. */
export async function faultOf(call: Promise<unknown>): Promise<TtsFault['fault']> {
  try {
    await call
  } catch (error) {
    assert(error instanceof TtsFault, `not a fault of speech: ${String(error)}`)
    return error.fault
  }
  throw new Error('the call did not fail')
}
