import { parseCheckpoint } from '#billing/tlog/checkpoint.ts'
import { encodeNote, encodeSignatureLine, parseNote } from '#billing/tlog/note.ts'
import { hashesAt, TILE_WIDTH, type TilePath } from '#billing/tlog/tile-path.ts'
import {
  createTileTree,
  decodeEntries,
  emptyTileTree,
  levelsOf,
  splitHashes,
  type Tile,
  type TileTree,
} from '#billing/tlog/tile-tree.ts'
import { verifyNote } from '#billing/tlog/verifier-key.ts'
import type { Db } from '#db/pool.ts'
import { CHECKPOINT_FILE, type LogFiles, WITNESSED_FILE } from './log-files.ts'
import { LogHaltError, type LogHead, openHead, readHead, signedRoot } from './log-head.ts'
import type { LogSigner } from './log-signer.ts'
import { forked } from './sequence.ts'

const LEAVES_PER_READ = 4_096
/** How many of the last cosigned sizes are looked through for the one with most cosignatures. */
const WITNESSED_SIZES = 64

const MOVE_AWAY =
  'If the folder was damaged or copied from elsewhere, move it away: the files are made again from the database.'

/** Where a test may end the process. */
export type PublishStep = 'tile' | 'tiles' | 'drafted' | 'published'

/** What this process serves. */
export interface Published {
  size: number
  root: Buffer
  /** With the cosignatures that are known for this very size. */
  checkpoint: string
  witnessed: { size: number; checkpoint: string } | undefined
}

export interface PublisherOptions {
  db: Db
  signer: LogSigner
  files: LogFiles
  onRebuild: (why: string) => void
  reached?: (step: PublishStep) => void
}

/**
 * Writes the files of the log from the database, in every process for itself. Opening compares what was published with what the database
 * holds, and throws LogHaltError when one is not the continuation of the other.
 */
export async function openPublisher(options: PublisherOptions) {
  const { db, signer, files, onRebuild, reached = () => undefined } = options
  const head = await openHead(db, signer)
  const before = await readPublished(files, signer, head, db)
  if (before !== undefined) await checkContinues(db, head, before)
  const resumed = before === undefined ? emptyTileTree() : await resume(files, before)
  if (resumed === undefined) onRebuild('the tiles on disk do not lead to the published root')
  // Behind what is published when the files have to be made again.
  let tree = resumed ?? emptyTileTree()
  let published: Published | undefined =
    before === undefined ? undefined : { ...before, witnessed: await readWitnessed(files) }

  /** Brings the files up to the head of the database. */
  async function publish(): Promise<Published> {
    const current = await readHead(db)
    if (current === undefined || current.logId !== head.logId)
      throw new LogHaltError(`The log ${head.origin} is not kept in this database any more: restart this gateway.`)
    if (published !== undefined && (current.size < published.size || !(await continues(current, published))))
      throw forked(current, published)
    const witnessed = await newestWitnessed(db, head.logId, signer)
    const lines = await cosignatureLines(db, head.logId, current.size)
    const checkpoint = withLines(current.checkpoint, lines)
    if (published?.checkpoint !== checkpoint || tree.size !== current.size) published = await grow(current, checkpoint)
    if (witnessed !== undefined && witnessed.checkpoint !== published.witnessed?.checkpoint) {
      await files.writeCheckpoint(WITNESSED_FILE, witnessed.checkpoint)
      published = { ...published, witnessed }
    }
    return published
  }

  async function continues(current: LogHead, last: Published): Promise<boolean> {
    if (current.size === last.size) return current.root.equals(last.root)
    return (await signedRoot(db, current, last.size))?.equals(last.root) === true
  }

  async function grow(current: LogHead, checkpoint: string): Promise<Published> {
    // Written to only once its files are: a failure half-way leaves the old tree to begin from.
    const grown = tree.copy()
    const full: Tile[] = []
    let first = true
    const write = async (tile: Tile) => {
      await files.writeTile(tile)
      if (first) reached('tile')
      first = false
    }
    while (grown.size < current.size) {
      const leaves = await readLeaves(
        db,
        current.logId,
        grown.size,
        Math.min(current.size, grown.size + LEAVES_PER_READ),
      )
      for (const leaf of leaves) {
        for (const tile of grown.append(leaf)) {
          await write(tile)
          full.push({ ...tile, bytes: Buffer.alloc(0) })
        }
      }
    }
    for (const tile of grown.partials()) await write(tile)
    const root = grown.root()
    if (!root.equals(current.root))
      throw new LogHaltError(
        `The leaves of the log ${current.origin} in the database do not lead to the root that was signed for ${current.size} of them. ` +
          'Somebody changed the database past its guards. Restore it, or begin a new log: fluxgate log restart --help',
      )
    reached('tiles')
    await files.writeCheckpoint(CHECKPOINT_FILE, checkpoint, () => reached('drafted'))
    reached('published')
    tree = grown
    for (const tile of full) await files.removePartials(tile)
    return { size: current.size, root, checkpoint, witnessed: published?.witnessed }
  }

  return {
    head,
    publish,
    published: () => published,
  }
}

export type Publisher = Awaited<ReturnType<typeof openPublisher>>

type Before = Omit<Published, 'witnessed'>

/** What an earlier life of this process published. Files of a log that was given up are put aside. */
async function readPublished(files: LogFiles, signer: LogSigner, head: LogHead, db: Db): Promise<Before | undefined> {
  const text = await files.readCheckpoint(CHECKPOINT_FILE)
  if (text === undefined) return undefined
  const { note, origin, size, root } = readNote(text, files)
  if (origin !== head.origin) {
    const { rows } = await db.query<{ logId: number }>(
      'select log_id as "logId" from log_head where origin = $1 and ended_at is not null',
      [origin],
    )
    const [ended] = rows
    if (ended === undefined)
      throw new LogHaltError(
        `${files.dir} holds the log ${origin}, which this database does not know; it keeps ${head.origin}. ` +
          'Set LOG_DIR to another folder, or connect to the database that the files belong to.',
      )
    await files.archive(`log-${ended.logId}`)
    return undefined
  }
  if ((await verifyNote(note, signer.key)).state !== 'good')
    throw new LogHaltError(`The checkpoint in ${files.dir} is not signed by the key of ${head.origin}. ${MOVE_AWAY}`)
  return { size, root: Buffer.from(root, 'base64'), checkpoint: text }
}

function readNote(text: string, files: LogFiles) {
  try {
    const note = parseNote(text)
    return { note, ...parseCheckpoint(note.text) }
  } catch (cause) {
    throw new LogHaltError(
      `The checkpoint in ${files.dir} is not readable (${cause instanceof Error ? cause.message : String(cause)}). ${MOVE_AWAY}`,
    )
  }
}

async function checkContinues(db: Db, head: LogHead, before: Before): Promise<void> {
  const signed = before.size <= head.size ? await signedRoot(db, head, before.size) : undefined
  if (signed?.equals(before.root) !== true) throw forked(head, before)
}

/** The tree that the tiles on disk hold, if they lead to the root that was published. */
async function resume(files: LogFiles, { size, root }: Before): Promise<TileTree | undefined> {
  const edge: Buffer[][] = []
  for (let level = 0; level < levelsOf(size); level += 1) {
    const bytes = await readPartial(files, level, size)
    edge.push(bytes === undefined ? [] : splitHashes(bytes))
  }
  const bundle = await readPartial(files, 'entries', size)
  const entries = bundle === undefined ? [] : decodeEntries(bundle, size % TILE_WIDTH)
  if (entries === undefined) return undefined
  try {
    const tree = createTileTree({ size, edge, entries })
    return tree.root().equals(root) ? tree : undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

async function readPartial(files: LogFiles, level: TilePath['level'], size: number): Promise<Buffer | undefined> {
  const hashes = hashesAt(level === 'entries' ? 0 : level, size)
  const width = hashes % TILE_WIDTH
  if (width === 0) return undefined
  return files.readTile({ level, index: (hashes - width) / TILE_WIDTH, width }, size)
}

async function readLeaves(db: Db, logId: number, from: number, to: number): Promise<Buffer[]> {
  const { rows } = await db.query<{ root: Buffer }>(
    'select root from log_leaf where log_id = $1 and idx >= $2 and idx < $3 order by idx',
    [logId, from, to],
  )
  if (rows.length !== to - from)
    throw new LogHaltError(`The database lacks leaves of the log between ${from} and ${to}.`)
  return rows.map(({ root }) => root)
}

async function readWitnessed(files: LogFiles): Promise<Published['witnessed']> {
  const text = await files.readCheckpoint(WITNESSED_FILE)
  return text === undefined ? undefined : { size: parseCheckpoint(parseNote(text).text).size, checkpoint: text }
}

async function cosignatureLines(db: Db, logId: number, size: number): Promise<string> {
  const { rows } = await db.query<{ lines: string }>(
    `select coalesce(string_agg(line, '' order by witness), '') as lines from log_cosignature where log_id = $1 and size = $2`,
    [logId, size],
  )
  return rows[0]?.lines ?? ''
}

/** Of the last sizes that were cosigned at all the one with most cosignatures, and of those the largest. */
async function newestWitnessed(db: Db, logId: number, signer: LogSigner): Promise<Published['witnessed']> {
  const { rows } = await db.query<{ size: bigint; root: Buffer; lines: string }>(
    `select c.size, k.root, string_agg(c.line, '' order by c.witness) as lines
     from (select distinct size from log_cosignature where log_id = $1 order by size desc limit $2) s
     join log_cosignature c on c.log_id = $1 and c.size = s.size
     join log_checkpoint k on k.log_id = $1 and k.size = s.size
     group by c.size, k.root order by count(*) desc, c.size desc limit 1`,
    [logId, WITNESSED_SIZES],
  )
  const [row] = rows
  if (row === undefined) return undefined
  const size = Number(row.size)
  return { size, checkpoint: withLines(signer.checkpoint(size, row.root), row.lines) }
}

function withLines(checkpoint: string, lines: string): string {
  const { text, signatures } = parseNote(checkpoint)
  return encodeNote(text, [...signatures.map(encodeSignatureLine), lines])
}
