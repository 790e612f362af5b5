import type { TilePath } from '#billing/tlog/tile-path.ts'
import { encodeTlogProof } from '#billing/tlog/tlog-proof.ts'
import type { Db } from '#db/pool.ts'
import type { LogFiles } from './log-files.ts'
import type { Publisher } from './publish.ts'
import { createTileProofs, TileError } from './tile-proofs.ts'

/** `pending`: it is signed and waits for its place in the log. */
export type ProofAnswer = { status: 'found'; proof: string } | { status: 'pending' } | { status: 'not_found' }

/** Who asks for a document: its key's project. */
export interface ProofReader {
  projectId: string
}

/** The reading side of the log. Bytes come from the files that this process published; only who may ask is the database's. */
export function createLogProofs(deps: {
  db: Db
  files: LogFiles
  publisher: Pick<Publisher, 'published'>
  vkey: string
}) {
  const { db, files, publisher } = deps

  function tilesOf(size: number) {
    const read = async (tile: TilePath) => {
      const bytes = await files.readTile(tile, size)
      if (bytes === undefined) throw new TileError('a tile of the published log is missing on disk')
      return bytes
    }
    return createTileProofs(read, size)
  }

  async function proofOfBatch(batchId: string): Promise<ProofAnswer> {
    const published = publisher.published()
    const { rows } = await db.query<{ idx: bigint }>(
      `select l.idx from log_leaf l join log_head h using (log_id) where h.ended_at is null and l.batch_id = $1`,
      [batchId],
    )
    const [leaf] = rows
    if (published === undefined || leaf === undefined || leaf.idx >= published.size) return { status: 'pending' }
    const index = Number(leaf.idx)
    const { witnessed } = published
    const { size, checkpoint } = witnessed !== undefined && witnessed.size > index ? witnessed : published
    const path = (await tilesOf(size).inclusion(index)).map((node) => node.toString('base64'))
    return { status: 'found', proof: encodeTlogProof({ index, path, checkpoint }) }
  }

  return {
    vkey: deps.vkey,
    published: publisher.published,

    /** The bytes of a published tile. */
    async tile(tile: TilePath): Promise<Buffer | undefined> {
      const published = publisher.published()
      return published === undefined ? undefined : files.readTile(tile, published.size)
    },

    /** How the leaf at `index` leads to the root of `size` leaves; undefined when that is not published. */
    async inclusion(index: number, size: number): Promise<{ leafHash: Buffer; path: Buffer[] } | undefined> {
      if (size > (publisher.published()?.size ?? 0) || index >= size) return undefined
      const tiles = tilesOf(size)
      return { leafHash: await tiles.leafHash(index), path: await tiles.inclusion(index) }
    },

    /** That the log of `to` leaves continues that of `from`; undefined when that is not published. */
    async consistency(from: number, to: number): Promise<Buffer[] | undefined> {
      if (to > (publisher.published()?.size ?? 0) || from > to) return undefined
      return tilesOf(to).consistency(from)
    },

    /** For one settled call that the project's wallet paid for. `requestId` is 32 hex digits. */
    async ofReceipt(projectId: string, requestId: string): Promise<ProofAnswer> {
      const { rows } = await db.query<{ batchId: string }>(
        `select l.batch_id as "batchId" from request_log l join project p on p.wallet_id = l.wallet_id
         where l.request_id = $1 and p.id = $2`,
        [requestId, projectId],
      )
      return rows[0] === undefined ? { status: 'not_found' } : proofOfBatch(rows[0].batchId)
    },

    /** For a signed document. `reader` is asked only when the document is not everybody's. */
    async ofDocument(id: string, reader: () => Promise<ProofReader>): Promise<ProofAnswer> {
      const { rows } = await db.query<{ batchId: string; projectId: string | null; walletId: bigint | null }>(
        'select batch_id as "batchId", project_id as "projectId", wallet_id as "walletId" from signed_document where id = $1',
        [id],
      )
      const [document] = rows
      if (document?.projectId === null && document.walletId === null) return proofOfBatch(document.batchId)
      // Whoever has no key learns nothing, not even whether there is such a document.
      const { projectId } = await reader()
      if (document === undefined) return { status: 'not_found' }
      const { rowCount } = await db.query(
        `select 1 from project where id = $1 and ($2::text is null or id = $2) and ($3::bigint is null or wallet_id = $3)`,
        [projectId, document.projectId, document.walletId],
      )
      return rowCount === 0 ? { status: 'not_found' } : proofOfBatch(document.batchId)
    },
  }
}

export type LogProofs = ReturnType<typeof createLogProofs>
