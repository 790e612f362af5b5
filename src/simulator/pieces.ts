import { countTokens, pieceEnd } from './tokens.ts'

/** A text in pieces of so many tokens, each as a JSON string. */
export function* pieces(
  text: string,
  chunkTokens: number,
): Generator<{ json: string; tokens: number }, void, undefined> {
  // Most texts need no escaping; asking once is cheaper than encoding each piece.
  const plain = JSON.stringify(text).length === text.length + 2
  for (let start = 0; start < text.length; ) {
    const end = pieceEnd(text, start, chunkTokens)
    const piece = text.slice(start, end)
    // Only the last piece can be short of its tokens.
    const tokens = end < text.length || chunkTokens === 1 ? chunkTokens : countTokens(piece)
    yield { json: plain ? `"${piece}"` : JSON.stringify(piece), tokens }
    start = end
  }
}

/** One value of each in turn, as a provider does that writes several answers at once. */
export function* takeTurns<T>(all: readonly Generator<T, void, undefined>[]): Generator<T, void, undefined> {
  const [only] = all
  if (all.length === 1 && only !== undefined) {
    yield* only
    return
  }
  let running = all
  while (running.length > 0) {
    const next: Generator<T, void, undefined>[] = []
    for (const one of running) {
      const step = one.next()
      if (step.done === true) continue
      yield step.value
      next.push(one)
    }
    running = next
  }
}
