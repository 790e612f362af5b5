import { checkConsistency, sameBytes } from '#billing/tlog/check-consistency.ts'
import { decodeHash, type LogPolicy, verifyCheckpoint } from '#billing/tlog/checkpoint.ts'
import { encodeTilePath, hashesAt, TILE_WIDTH, type TilePath } from '#billing/tlog/tile-path.ts'
import {
  createTileTree,
  decodeEntries,
  emptyTileTree,
  levelsOf,
  splitHashes,
  type Tile,
  type TileTree,
} from '#billing/tlog/tile-tree.ts'
import { createTileProofs, TileError } from './tile-proofs.ts'

/** Where a log is read. Both throw LogUnreachableError when it cannot be. */
export interface LogSource {
  checkpoint(): Promise<string>
  /** Undefined when the log says that it has no such tile. */
  tile(path: string): Promise<Uint8Array | undefined>
}

/** The log could not be asked: this says nothing about what it would have answered. */
export class LogUnreachableError extends Error {
  override readonly name = 'LogUnreachableError'
}

/**
 * `fork`: two signed checkpoints of which one does not continue the other. Of one size they prove by themselves that the log showed two
 * histories; of two sizes only a consistency proof could clear it, which its tiles do not give. `signature`: what is served is not signed as
 * it has to be. `tiles`: what is below a signed checkpoint does not lead to it. `stale`: an older checkpoint of the same
 * history, as from a server that lags.
 */
export type MonitorFinding =
  | { state: 'ok' | 'stale'; size: number; checked: number; cosignatures: readonly { name: string; time: number }[] }
  | { state: 'fork'; problem: string; kept: string; seen: string }
  | { state: 'signature' | 'tiles'; problem: string; seen: string }

export interface MonitorOptions {
  source: LogSource
  policy: LogPolicy
  /** The checkpoint that was seen last, byte for byte. Without one, the first that is seen is believed. */
  kept: string | undefined
  /** Reads every leaf again and not only new ones. */
  full: boolean
}

/**
 * Looks at a log once: is its checkpoint signed, does it continue the one that was kept, and do the tiles and leaves below it, those that are
 * new or all of them, lead to its root? `keep` is what to compare with the next time.
 */
export async function monitorLog(
  options: MonitorOptions,
): Promise<{ finding: MonitorFinding; keep: string | undefined }> {
  const { source, policy, kept, full } = options
  const seen = await source.checkpoint()
  const now = await readSigned(seen, policy)
  if ('problem' in now) return { finding: { state: 'signature', problem: now.problem, seen }, keep: kept }
  const { cosignatures } = now
  let before: { size: number; root: string } = { size: 0, root: '' }
  if (kept !== undefined) {
    const read = await readSigned(kept, { ...policy, quorum: 0 })
    if ('problem' in read) throw new Error(`the checkpoint that was kept is not usable: ${read.problem}`)
    before = read
  }
  try {
    if (kept !== undefined && now.size <= before.size) {
      const problem = await comparePast(source, { ...now, text: seen }, before)
      if (problem !== undefined) return { finding: { state: 'fork', problem, kept, seen }, keep: kept }
      if (now.size < before.size)
        return { finding: { state: 'stale', size: now.size, checked: 0, cosignatures }, keep: kept }
    } else if (kept !== undefined) {
      const problem = await compareFuture(source, now, before)
      if (problem !== undefined) return { finding: { state: 'fork', problem, kept, seen }, keep: kept }
    }
    const from = full || kept === undefined ? 0 : before.size
    const checked = await readLog(source, now, from)
    return { finding: { state: 'ok', size: now.size, checked, cosignatures }, keep: seen }
  } catch (error) {
    if (!(error instanceof TileError)) throw error
    return { finding: { state: 'tiles', problem: error.message, seen }, keep: kept }
  }
}

async function readSigned(text: string, policy: LogPolicy) {
  try {
    const { checkpoint, cosignatures, problem } = await verifyCheckpoint(text, policy)
    return problem === undefined ? { size: checkpoint.size, root: checkpoint.root, cosignatures } : { problem }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}

interface Head {
  size: number
  root: string
}

/** What is served is not larger than what was seen before: the same, or a beginning of it. */
async function comparePast(source: LogSource, now: Head & { text: string }, before: Head): Promise<string | undefined> {
  if (now.size === before.size)
    return now.root === before.root ? undefined : `two roots were signed for ${now.size} leaves`
  const isPast = await continues(source, before, now).catch((error: unknown) => {
    if (error instanceof TileError) return false
    throw error
  })
  return isPast
    ? undefined
    : `it was seen with ${before.size} leaves and now has ${now.size}, and does not show that those are their beginning`
}

async function compareFuture(source: LogSource, now: Head, before: Head): Promise<string | undefined> {
  const tiles = createTileProofs(tileReader(source, now.size), now.size)
  // Tiles that do not even lead to the signed root say nothing about the history that was signed.
  if (!sameBytes(await tiles.root(), decodeHash(now.root)))
    throw new TileError(`the tiles do not lead to the root of ${now.size} leaves`)
  return (await continues(source, now, before))
    ? undefined
    : `the log of ${now.size} leaves does not begin with the ${before.size} that were seen before`
}

async function continues(source: LogSource, now: Head, before: Head): Promise<boolean> {
  const tiles = createTileProofs(tileReader(source, now.size), now.size)
  const path = (await tiles.consistency(before.size)).map((hash) => new Uint8Array(hash))
  const oldRoot = decodeHash(before.root)
  return checkConsistency({ oldSize: before.size, oldRoot, size: now.size, root: decodeHash(now.root), path })
}

/** Reads the leaves from `from` on and compares every tile that they make. Returns how many. Throws TileError. */
async function readLog(source: LogSource, now: Head, from: number): Promise<number> {
  const read = tileReader(source, now.size)
  // Whole tiles, so that the first is compared as well.
  const start = from - (from % TILE_WIDTH)
  const tree = await treeAt(read, start)
  for (let index = start / TILE_WIDTH; tree.size < now.size; index += 1) {
    const width = Math.min(TILE_WIDTH, now.size - index * TILE_WIDTH)
    const bundle = { level: 'entries' as const, index, width }
    const bytes = await read(bundle)
    // A full bundle may have taken the place of the partial one in the meantime.
    const leaves = decodeEntries(bytes, width) ?? decodeEntries(bytes, TILE_WIDTH)?.slice(0, width)
    if (leaves === undefined) throw new TileError(`${encodeTilePath(bundle)} is not ${width} leaves`)
    for (const leaf of leaves) for (const tile of tree.append(leaf)) await compare(read, tile)
  }
  for (const tile of tree.partials()) await compare(read, tile)
  if (!sameBytes(tree.root(), decodeHash(now.root)))
    throw new TileError(`the leaves do not lead to the root that was signed for ${now.size} of them`)
  return now.size - start
}

async function compare(read: (tile: TilePath) => Promise<Uint8Array>, tile: Tile): Promise<void> {
  if (tile.level === 'entries') return // What the others are computed from.
  if (!sameBytes(await read(tile), tile.bytes)) throw new TileError(`${tile.path} is not what the leaves below it make`)
}

/** The tree of whole tiles of leaves before an index, from the tiles above them. What they say is checked by the root at the end. */
async function treeAt(read: (tile: TilePath) => Promise<Uint8Array>, size: number): Promise<TileTree> {
  if (size === 0) return emptyTileTree()
  const edge: Buffer[][] = []
  for (let level = 0; level < levelsOf(size); level += 1) {
    const hashes = hashesAt(level, size)
    const width = hashes % TILE_WIDTH
    const tile = { level, index: (hashes - width) / TILE_WIDTH, width }
    edge.push(width === 0 ? [] : splitHashes(await read(tile)))
  }
  return createTileTree({ size, edge, entries: [] })
}

/** Reads from the tree of `size` leaves: where it has a wider tile than was asked for, that one's beginning. */
function tileReader(source: LogSource, size: number) {
  return async (tile: TilePath): Promise<Uint8Array> => {
    const have = Math.min(
      TILE_WIDTH,
      hashesAt(tile.level === 'entries' ? 0 : tile.level, size) - tile.index * TILE_WIDTH,
    )
    const wanted = { ...tile, width: Math.max(tile.width, have) }
    const path = encodeTilePath(wanted)
    const exact = await source.tile(path)
    const bytes = exact ?? (await source.tile(encodeTilePath({ ...wanted, width: TILE_WIDTH })))
    if (bytes === undefined) throw new TileError(`the log does not serve ${path}`)
    if (tile.level === 'entries') return bytes
    if (bytes.byteLength < tile.width * 32) throw new TileError(`${path} is cut off`)
    if (exact !== undefined && bytes.byteLength !== wanted.width * 32)
      throw new TileError(`${path} is of another length`)
    return bytes.subarray(0, tile.width * 32)
  }
}
