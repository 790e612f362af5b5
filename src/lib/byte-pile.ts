/** Collects bytes that come in pieces, however small: each piece by itself would cost a hundred times its memory. */
export interface BytePile {
  add(piece: Buffer): void
  /** All that was added, in order, as one piece. */
  joined(): Buffer
  clear(): void
}

const LATEST_MAX = 256

/** Pieces are joined a few hundred at a time, so nothing is copied more than twice. */
export function createBytePile(): BytePile {
  let pieces: Buffer[] = []
  let latest: Buffer[] = []

  return {
    add(piece) {
      latest.push(piece)
      if (latest.length < LATEST_MAX) return
      pieces.push(Buffer.concat(latest))
      latest = []
    },

    joined() {
      const [only] = pieces.length > 0 ? pieces : latest
      return only !== undefined && pieces.length + latest.length === 1 ? only : Buffer.concat([...pieces, ...latest])
    },

    clear() {
      pieces = []
      latest = []
    },
  }
}
