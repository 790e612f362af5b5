/** What a model behind the messages protocol takes and what it refuses. */
export interface MessagesModelTraits {
  /** How it is told to think: by a budget of tokens, by an effort, or not at all. */
  thinking: 'budget' | 'effort' | 'none'
  /** Whether it can be told not to think. */
  thinkingOff: boolean
  /** Whether it knows the efforts above high. */
  effortsAboveHigh: boolean
  /** Of temperature and top_p: both, either, or neither. */
  sampling: 'both' | 'one' | 'none'
  /** Whether schemas bind its answers and the arguments of its tools. */
  schemas: boolean
}

/** Compatible servers of other makers: what most of them took over. */
const others: MessagesModelTraits = {
  thinking: 'budget',
  thinkingOff: true,
  effortsAboveHigh: false,
  sampling: 'both',
  schemas: true,
}

/**
 * By the version in the name, as in claude-3-7-sonnet, claude-opus-4-20250514, anthropic.claude-sonnet-4-5-v1:0 or
 * claude-opus-4.8: Claude gained thinking with 3.7, schemas with 4.1, efforts with 4.6, and lost sampling with 4.7. A name
 * without a version is that of a newer model.
 */
export function messagesModelTraits(model: string): MessagesModelTraits {
  if (!/claude/i.test(model)) return others
  const version = versionOf(model)
  const at = (major: number, minor: number) => version === undefined || version >= major * 100 + minor
  return {
    thinking: at(4, 6) ? 'effort' : at(3, 7) ? 'budget' : 'none',
    thinkingOff: !at(4, 7),
    effortsAboveHigh: at(4, 7),
    sampling: at(4, 7) ? 'none' : at(4, 1) ? 'one' : 'both',
    schemas: at(4, 1),
  }
}

/** Dates are longer than versions. */
function versionOf(model: string): number | undefined {
  const found = /claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)/i.exec(model)
  return found === null ? undefined : Number(found[1]) * 100 + Number(found[2] ?? 0)
}
