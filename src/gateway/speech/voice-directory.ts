import type { TtsContext } from '#adapters/tts/adapter.ts'
import type { VoiceCatalogue } from '#adapters/tts/voice-catalogue.ts'
import type { Voice } from '#wire/speech-format.ts'
import type { AudioRoute } from './audio-routes.ts'
import { type SpeechTarget, upstreamKey } from './speech-target.ts'

const LISTED_MAX = 10_000

/** Which voices there are, by what vendors list and what is shipped. */
export function createVoiceDirectory(deps: { catalogue: VoiceCatalogue; listMs: number; listBytesMax: number }) {
  const { catalogue, listMs, listBytesMax } = deps
  // A name is the hash of settings that do not change while a target exists.
  const keys = new WeakMap<SpeechTarget, string>()

  function keyOf(target: SpeechTarget): string {
    const known = keys.get(target) ?? upstreamKey(target)
    keys.set(target, known)
    return known
  }

  async function contextOf(target: SpeechTarget): Promise<TtsContext> {
    return {
      ...(await target.open()),
      baseUrl: target.baseUrl,
      params: target.params,
      // Not the client's: others wait for the same list.
      signal: AbortSignal.timeout(listMs),
      limits: { audioBytesMax: listBytesMax, firstByteMs: listMs, idleMs: listMs },
    }
  }

  return {
    /** What is known of a target's voices without asking anybody. */
    known: (target: SpeechTarget): readonly Voice[] => catalogue.known(keyOf(target), target.adapter),

    /** The voices of a model, those of the first target first, each id once. */
    async list(route: AudioRoute<SpeechTarget>): Promise<Voice[]> {
      // One credential of an upstream is as good as another for its list.
      const upstreams = new Map(route.targets.map((target) => [target.targetId, target] as const).reverse())
      const lists = await Promise.all(
        [...upstreams.values()].reverse().map(async (target) => {
          const { voices } = await catalogue.voices(keyOf(target), target.adapter, () => contextOf(target))
          return voices.filter(
            ({ compatible_models: models }) => models.length === 0 || models.includes(target.priced.model),
          )
        }),
      )
      const found = new Map<string, Voice>()
      for (const voice of lists.flat()) if (!found.has(voice.id) && found.size < LISTED_MAX) found.set(voice.id, voice)
      return [...found.values()]
    },
  }
}

export type VoiceDirectory = ReturnType<typeof createVoiceDirectory>
