/** Tells when JSON text that comes in pieces is a whole object, at the cost of looking at each character once. */
export function createObjectEnd(): { feed(text: string): void; isWhole(): boolean } {
  let depth = 0
  let begun = false
  let inString = false
  let escaped = false

  function step(char: string): void {
    if (escaped) escaped = false
    else if (inString) {
      if (char === '\\') escaped = true
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' || char === '[') {
      begun ||= char === '{'
      depth += 1
    } else if (char === '}' || char === ']') depth -= 1
  }

  return {
    feed(text) {
      for (const char of text) step(char)
    },
    isWhole() {
      return begun && depth === 0 && !inString
    },
  }
}
