/** What of an ordinary delta differs from the one before it. */
export interface DeltaValues {
  /** Raw JSON text, bytes as Latin-1. */
  delta: string
  sequence: number | undefined
}

type Gap = 'delta' | 'sequence' | 'noise'

const deltaMembers = { delta: /"delta": ?"/g, text: /"text": ?"/g }
const otherGaps: readonly [Gap, RegExp][] = [
  ['sequence', /"sequence_number": ?(?=\d)/g],
  // Random characters that hide the length of the delta.
  ['noise', /"obfuscation": ?"/g],
]

/**
 * Recognises a frame that differs from a parsed one in nothing but its delta, its number and its noise, so that it need not
 * be parsed: that is nearly every frame of a stream. One per stream. `member`: where the delta stands.
 */
export function createDeltaShape(member: keyof typeof deltaMembers) {
  const gaps: readonly [Gap, RegExp][] = [['delta', deltaMembers[member]], ...otherGaps]
  let fixed: string[] = []
  let between: Gap[] = []

  function forget(): void {
    fixed = []
    between = []
  }

  return {
    /** The next frame is to be parsed. */
    forget,

    /** Remembers a frame that holds one delta, which is text, and whose meaning is known. */
    learn(frame: string): void {
      forget()
      const found: { gap: Gap; from: number; to: number }[] = []
      for (const [gap, pattern] of gaps) {
        const marks = [...frame.matchAll(pattern)]
        const mark = marks[0]
        if (mark === undefined) {
          if (gap === 'delta') return
          continue
        }
        // Two of a name: which of them counts is for a parser to say.
        if (marks.length > 1) return
        const from = mark.index + mark[0].length
        const to = gap === 'sequence' ? digitsEnd(frame, from) : quoteEnd(frame, from)
        if (to === -1) return
        found.push({ gap, from, to })
      }
      found.sort((a, b) => a.from - b.from)
      let at = 0
      for (const { gap, from, to } of found) {
        fixed.push(frame.slice(at, from))
        between.push(gap)
        at = to
      }
      fixed.push(frame.slice(at))
    },

    match(frame: string): DeltaValues | undefined {
      let at = 0
      let delta: string | undefined
      let sequence: number | undefined
      for (let index = 0; index < fixed.length; index += 1) {
        const piece = fixed[index] as string
        if (!frame.startsWith(piece, at)) return undefined
        at += piece.length
        const gap = between[index]
        if (gap === undefined) break
        const end = gap === 'sequence' ? digitsEnd(frame, at) : quoteEnd(frame, at)
        if (end === -1) return undefined
        if (gap === 'delta') delta = frame.slice(at, end)
        else if (gap === 'sequence') sequence = Number(frame.slice(at, end))
        at = end
      }
      return delta === undefined || at !== frame.length ? undefined : { delta, sequence }
    },
  }
}

function digitsEnd(text: string, from: number): number {
  let at = from
  while (text.charCodeAt(at) >= 0x30 && text.charCodeAt(at) <= 0x39) at += 1
  return at === from || at - from > 15 ? -1 : at
}

/** Where the string that has begun before `from` ends. */
function quoteEnd(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === 0x5c && at - slashes > from) slashes += 1
    if (slashes % 2 === 0) return at
  }
  return -1
}
