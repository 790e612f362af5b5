const LINE_FEED = 0x0a
const LETTER_D = 0x64
const BRACKET = 0x5b
/** Where the `[` of `data: [DONE]` stands in its line. */
const BRACKET_OFFSET = 6

/** Counts the lines of one body that begin with `data:` and sees `[DONE]`, whatever the pieces it is read in. */
export function createEventCounter() {
  let events = 0
  let done = false
  let atLineStart = true
  // How many bytes ahead the byte is that may be the bracket of [DONE]; -1 when none is awaited.
  let bracketAhead = -1

  function lookForBracket(data: Buffer, at: number, end: number): void {
    if (at + bracketAhead >= end) {
      bracketAhead -= end - at
      return
    }
    if (data[at + bracketAhead] === BRACKET) done = true
    bracketAhead = -1
  }

  return {
    /** Reads the bytes from `at` to before `end`. */
    read(data: Buffer, at: number, end: number): void {
      if (bracketAhead >= 0) lookForBracket(data, at, end)
      for (let start = at; start < end; ) {
        if (atLineStart && data[start] === LETTER_D) {
          events += 1
          bracketAhead = start - at + BRACKET_OFFSET
          lookForBracket(data, at, end)
        }
        const lineFeed = data.indexOf(LINE_FEED, start)
        atLineStart = lineFeed >= 0 && lineFeed < end
        if (!atLineStart) return
        start = lineFeed + 1
      }
    },

    /** What was counted; the next body starts from nothing. */
    take(): { events: number; done: boolean } {
      const counted = { events, done }
      events = 0
      done = false
      atLineStart = true
      bracketAhead = -1
      return counted
    },
  }
}
