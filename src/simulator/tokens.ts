/** The simulator's own token: the longest run of whole characters that fits in this many bytes of UTF-8. */
const TOKEN_BYTES = 4

/**
 * Tokens of a text by the simulator's rule: for ASCII, bytes / 4 rounded up. Exact and independent of every real
 * tokenizer, so that a test can predict a usage with a pencil.
 */
export function countTokens(text: string): number {
  if (Buffer.byteLength(text) === text.length) return Math.ceil(text.length / TOKEN_BYTES)
  let tokens = 0
  for (let at = 0; at < text.length; at = tokenEnd(text, at)) tokens += 1
  return tokens
}

/** The first `tokens` tokens of a text, or all of it when it is shorter. */
export function cutTokens(text: string, tokens: number): string {
  if (Buffer.byteLength(text) === text.length) return text.slice(0, tokens * TOKEN_BYTES)
  let at = 0
  for (let taken = 0; taken < tokens && at < text.length; taken += 1) at = tokenEnd(text, at)
  return text.slice(0, at)
}

/** Where the piece of `tokens` tokens that begins at `start` ends. Never inside a surrogate pair. */
export function pieceEnd(text: string, start: number, tokens: number): number {
  let at = start
  for (let taken = 0; taken < tokens && at < text.length; taken += 1) at = tokenEnd(text, at)
  return at
}

function tokenEnd(text: string, start: number): number {
  let at = start
  let bytes = 0
  while (at < text.length) {
    const unit = text.charCodeAt(at)
    const pair = isHigh(unit) && isLow(text.charCodeAt(at + 1))
    // A lone surrogate leaves as U+FFFD, which is three bytes.
    bytes += pair ? 4 : unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3
    if (bytes > TOKEN_BYTES) break
    at += pair ? 2 : 1
  }
  return at
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}
