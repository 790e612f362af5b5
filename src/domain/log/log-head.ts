import { merkleRoot } from '#billing/merkle.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import type { LogSigner } from './log-signer.ts'

/** Everything that says of itself what is wrong with the log and what to do: it is not kept any further. */
export class LogHaltError extends Error {
  override readonly name = 'LogHaltError'
}

/** The log that this database keeps, as of its last commit. */
export interface LogHead {
  logId: number
  origin: string
  publicKey: Buffer
  size: number
  root: Buffer
  /** Signed, without cosignatures. */
  checkpoint: string
}

const COLUMNS = 'log_id as "logId", origin, public_key as "publicKey", size, root, checkpoint'

interface HeadRow extends Omit<LogHead, 'size'> {
  size: bigint
}

/** The head of the log that is kept; undefined before the first start of a gateway. */
export async function readHead(db: Db | Tx): Promise<LogHead | undefined> {
  const { rows } = await db.query<HeadRow>(`select ${COLUMNS} from log_head where ended_at is null`)
  return rows.map(toHead)[0]
}

/**
 * The head of the log of this signer, begun when the database has none yet. Throws LogHaltError when it keeps another one: a log has
 * one name and one key for life.
 */
export async function openHead(db: Db, signer: LogSigner): Promise<LogHead> {
  const head = await transaction(db, async (tx) => {
    await lockHeads(tx)
    return (await readHead(tx)) ?? (await beginLog(tx, signer))
  })
  checkIdentity(head, signer)
  return head
}

/** Only one process at a time begins or ends a log. */
export async function lockHeads(tx: Tx): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtext('fluxgate log_head'))`)
}

/** An empty log, with its signed checkpoint of size 0. */
export async function beginLog(tx: Tx, signer: LogSigner): Promise<LogHead> {
  const root = merkleRoot([])
  const { rows } = await tx.query<HeadRow>(
    `insert into log_head (origin, public_key, size, frontier, root, checkpoint) values ($1, $2, 0, '', $3, $4)
     returning ${COLUMNS}`,
    [signer.key.name, Buffer.from(signer.key.publicKey), root, signer.checkpoint(0, root)],
  )
  const [head] = rows.map(toHead)
  if (head === undefined) throw new Error('a log that was begun has its row')
  await tx.query('insert into log_checkpoint (log_id, size, root) values ($1, 0, $2)', [head.logId, root])
  return head
}

function checkIdentity(head: LogHead, { key }: LogSigner): void {
  if (head.origin !== key.name)
    throw new LogHaltError(
      `This database keeps the log ${head.origin}, but RECEIPT_LOG_ORIGIN is ${key.name}. ` +
        `Set RECEIPT_LOG_ORIGIN=${head.origin}, or begin a new log on purpose: fluxgate log restart --help`,
    )
  if (!head.publicKey.equals(key.publicKey))
    throw new LogHaltError(
      `The log ${head.origin} is signed with another key than this gateway has. A log has one key for life: give this gateway ` +
        'the LOG_SIGNING_KEY of the others, or begin a new log on purpose: fluxgate log restart --help',
    )
}

function toHead(row: HeadRow): LogHead {
  return { ...row, size: Number(row.size) }
}

/** The root that was signed for a size; undefined when no checkpoint of this size was ever signed here. */
export async function signedRoot(db: Db | Tx, head: { logId: number }, size: number): Promise<Buffer | undefined> {
  const { rows } = await db.query<{ root: Buffer }>('select root from log_checkpoint where log_id = $1 and size = $2', [
    head.logId,
    size,
  ])
  return rows[0]?.root
}
