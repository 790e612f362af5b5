import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { encodeTilePath, hashesAt, TILE_WIDTH, type TilePath } from '#billing/tlog/tile-path.ts'
import { decodeEntries, encodeEntries, type Tile } from '#billing/tlog/tile-tree.ts'

const HASH_BYTES = 32
const CHECKPOINT_BYTES_MAX = 65_536

export const CHECKPOINT_FILE = 'checkpoint'
/** The newest checkpoint that witnesses cosigned. */
export const WITNESSED_FILE = 'witnessed-checkpoint'

/**
 * The files of a log, laid out as they are served: any static server can do so too. Each appears whole or not at all, and is durable
 * once it was written. One process writes, any number reads.
 */
export function createLogFiles(dir: string) {
  /** Folders with names that are not durable yet. */
  const unsynced = new Set<string>()

  async function write(name: string, bytes: string | Uint8Array, beforeRename: () => void = () => undefined) {
    const path = join(dir, name)
    const folder = dirname(path)
    await makeFolder(folder)
    // Of one name: what a killed process left is written over by the next.
    const draft = `${path}.tmp`
    const file = await open(draft, 'w', 0o644)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    beforeRename()
    await rename(draft, path)
    unsynced.add(folder)
  }

  async function makeFolder(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true })
    if (first === undefined) return
    for (let at = folder; at.length >= first.length; at = dirname(at)) unsynced.add(dirname(at))
  }

  async function syncFolders(): Promise<void> {
    for (const folder of unsynced) {
      const handle = await open(folder, 'r')
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    }
    unsynced.clear()
  }

  return {
    dir,

    writeTile: (tile: Tile): Promise<void> => write(tile.path, tile.bytes),

    /** Makes all tiles durable, and only then the text that needs them. */
    async writeCheckpoint(name: string, text: string, beforeRename?: () => void): Promise<void> {
      await syncFolders()
      await write(name, text, beforeRename)
      await syncFolders()
    },

    /** The partial tiles that a full one made needless. */
    async removePartials(full: TilePath): Promise<void> {
      await rm(join(dir, `${encodeTilePath({ ...full, width: TILE_WIDTH })}.p`), { recursive: true, force: true })
    },

    /** The text of a checkpoint; undefined when none was written. */
    async readCheckpoint(name: string): Promise<string | undefined> {
      const bytes = await readOptional(join(dir, name))
      if (bytes !== undefined && bytes.byteLength > CHECKPOINT_BYTES_MAX)
        throw new Error(`${join(dir, name)} is too long`)
      return bytes === undefined ? undefined : new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    },

    /**
     * The bytes of a tile of the tree of `size` leaves; undefined for a tile that it does not have. A partial tile is the beginning of a
     * wider one, where that is what is left.
     */
    async readTile(tile: TilePath, size: number): Promise<Buffer | undefined> {
      const have = Math.min(
        TILE_WIDTH,
        hashesAt(tile.level === 'entries' ? 0 : tile.level, size) - tile.index * TILE_WIDTH,
      )
      if (!(tile.width <= have)) return undefined
      const exact = await readOptional(join(dir, encodeTilePath(tile)))
      if (exact !== undefined || tile.width === have) return exact
      const wider =
        (await readOptional(join(dir, encodeTilePath({ ...tile, width: have })))) ??
        (await readOptional(join(dir, encodeTilePath({ ...tile, width: TILE_WIDTH }))))
      return wider === undefined ? undefined : beginningOf(tile, wider)
    },

    /** Puts the files of a log that was given up aside, as evidence, and begins with none. */
    async archive(name: string): Promise<void> {
      await mkdir(join(dir, 'ended'), { recursive: true })
      const to = join(dir, 'ended', name)
      await mkdir(to, { recursive: true })
      for (const part of ['tile', CHECKPOINT_FILE, WITNESSED_FILE]) {
        await rename(join(dir, part), join(to, part)).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOENT') throw error
        })
      }
      for (const folder of [dir, join(dir, 'ended'), to]) unsynced.add(folder)
      await syncFolders()
    },
  }
}

export type LogFiles = ReturnType<typeof createLogFiles>

function beginningOf(tile: TilePath, wider: Buffer): Buffer | undefined {
  if (tile.level !== 'entries') return wider.subarray(0, tile.width * HASH_BYTES)
  // Leaves of this log are all of one length, but their bundle says so itself.
  const length = 2 + (wider.length >= 2 ? wider.readUInt16BE(0) : 0)
  const leaves = decodeEntries(wider, wider.length / length)
  return leaves === undefined ? undefined : encodeEntries(leaves.slice(0, tile.width))
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
}
