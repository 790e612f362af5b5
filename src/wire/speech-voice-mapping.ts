import type { Voice } from './speech-format.ts'

/** How the voice for an upstream was found, for the record. */
export type VoiceChoice =
  | { voice: string; by: 'mapping' | 'same' | 'nearest' | 'default' }
  /** Nobody names one: the vendor's format decides or refuses. */
  | { voice: undefined; by: 'none' }

export interface VoiceQuestion {
  /** As the client asks, or as the locale recommends. */
  voice: string | undefined
  /** What the client is known to want, where the voice says nothing. */
  locale?: string | undefined
  /** From the router config: voice → upstream id → voice. */
  mapping: Readonly<Record<string, Readonly<Record<string, string>>>>
  upstreamId: string
  /** The voices of the vendor that is to speak; empty where it lists none, so that any name may be right. */
  voices: readonly Voice[]
  defaultVoice: string | undefined
  /** The voices of all vendors of this model, to look up what the asked one is like. */
  known: readonly Voice[]
  /** What the vendor calls the model: voices of other models are passed over. */
  model: string
}

/**
 * The voice that an upstream is asked for, so that a fallback to another vendor keeps the voice as far as it can: what the
 * operator has mapped; the voice itself, where this vendor has it; the nearest by language, region and gender; the
 * vendor's default. A voice that no vendor is known to have, such as a cloned one, is passed on as it is.
 */
export function chooseVoice(question: VoiceQuestion): VoiceChoice {
  const { voice, mapping, upstreamId, voices, known } = question
  if (voice !== undefined) {
    const mapped = Object.hasOwn(mapping, voice) ? mapping[voice] : undefined
    if (mapped !== undefined && Object.hasOwn(mapped, upstreamId)) {
      const name = mapped[upstreamId]
      if (name !== undefined && name !== '') return { voice: name, by: 'mapping' }
    }
    if (voices.length === 0 || voices.some(({ id }) => id === voice)) return { voice, by: 'same' }
  }
  const asked = known.find(({ id }) => id === voice)
  if (voice !== undefined && asked === undefined) return { voice, by: 'same' }
  const locale = asked?.languages[0]?.code ?? question.locale
  const nearest = locale === undefined ? undefined : nearestVoice(question, locale, asked?.labels.gender)
  if (nearest !== undefined) return { voice: nearest, by: 'nearest' }
  const fallback = question.defaultVoice
  return fallback === undefined ? { voice: undefined, by: 'none' } : { voice: fallback, by: 'default' }
}

/** The first of the best. A voice of another language is no neighbour, unless it speaks many. */
function nearestVoice(question: VoiceQuestion, locale: string, gender: string | undefined): string | undefined {
  let best: { id: string; score: number } | undefined
  for (const voice of question.voices) {
    if (voice.compatible_models.length > 0 && !voice.compatible_models.includes(question.model)) continue
    const language = languageScore(voice, locale)
    if (language === 0) continue
    const score = language + (sameGender(voice.labels.gender, gender) ? 8 : 0)
    if (best === undefined || score > best.score) best = { id: voice.id, score }
  }
  return best?.id
}

/** Gender weighs more than region, language more than gender: a listener hears them in this order. */
function languageScore(voice: Voice, locale: string): number {
  const wanted = locale.toLowerCase()
  const language = wanted.split('-')[0]
  const codes = voice.languages.map(({ code }) => code.toLowerCase())
  if (codes[0] === wanted) return 20
  if (codes.includes(wanted)) return 19
  if (codes[0]?.split('-')[0] === language) return 17
  if (codes.some((code) => code.split('-')[0] === language)) return 16
  return voice.tags.includes('multilingual') ? 4 : 0
}

function sameGender(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && one.toLowerCase() === other?.toLowerCase()
}
