import { hash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { verifyCheckpoint } from '#billing/tlog/checkpoint.ts'
import type { Db } from '#db/pool.ts'
import { createLogFiles } from '#domain/log/log-files.ts'
import { createLogKeeper, type LogKeeperOptions } from '#domain/log/log-keeper.ts'
import { createLogSigner } from '#domain/log/log-signer.ts'
import { openPublisher, type PublishStep } from '#domain/log/publish.ts'
import { assert } from '#lib/assert.ts'
import type { TestDatabase } from '#test/support/database.ts'
import { until } from '#test/support/until.ts'

const ORIGIN = 'log.test/1'
const LOG_SEED = Buffer.alloc(32, 11)
export const logSigner = await createLogSigner(ORIGIN, createReceiptSigner(LOG_SEED))
const policy = { log: logSigner.key, witnesses: [], quorum: 0 }

/** Puts signed batches into the books as far as the log looks at them; their leaves mean nothing. */
export async function addBatches(db: Db, count: number): Promise<void> {
  const roots = Array.from({ length: count }, () => randomBytes(32))
  await db.query(
    `insert into receipt_batch (batch_id, key_id, leaves, root, sig, settled_at)
     select gen_random_uuid(), 'rk_0000000000000000', r, r, sha256(r) || sha256(r), clock_timestamp() from unnest($1::bytea[]) as u(r)`,
    [roots],
  )
}

/** One process's share of keeping the log. Turns are taken when the test says so, unless it gives an interval. */
export async function openTestLog(
  database: Pick<TestDatabase, 'db' | 'connection'>,
  dir: string,
  more: Partial<LogKeeperOptions> & { reachedFile?: (step: PublishStep) => void } = {},
) {
  const { reachedFile, ...options } = more
  const signer = options.signer ?? logSigner
  const files = createLogFiles(dir)
  const errors: unknown[] = []
  const rebuilds: string[] = []
  const publisher = await openPublisher({
    db: database.db,
    signer,
    files,
    onRebuild: (why) => rebuilds.push(why),
    ...(reachedFile && { reached: reachedFile }),
  })
  const keeper = createLogKeeper({
    db: database.db,
    connection: database.connection,
    signer,
    publisher,
    everyMs: 3_600_000,
    onTurn: () => undefined,
    onError: (error) => errors.push(error),
    onHalt: (error) => errors.push(error),
    ...options,
  })
  return {
    files,
    publisher,
    keeper,
    errors,
    rebuilds,
    /** A whole turn: one that is under way may have begun before what the test has done meanwhile. */
    async turn() {
      await keeper.turn()
      await keeper.turn()
    },
    close: keeper.close,
  }
}

/** Everything that one folder publishes, computed again from the leaves of the database, by the book. */
export async function expectPublished(db: Db, dir: string, size: number): Promise<string> {
  const { rows } = await db.query<{ idx: bigint; root: Buffer; batch: Buffer }>(
    `select l.idx, l.root, b.root as batch from log_leaf l join log_head h using (log_id) join receipt_batch b using (batch_id)
     where h.ended_at is null order by l.idx`,
  )
  assert(rows.length === size, `the log has ${size} leaves, not ${rows.length}`)
  for (const [index, { idx, root, batch }] of rows.entries())
    assert(idx === BigInt(index) && root.equals(batch), 'indices are dense, and each leaf is the root of its batch')
  const leaves = rows.map(({ root }) => root)
  const checkpoint = await readFile(join(dir, 'checkpoint'), 'utf8')
  const verdict = await verifyCheckpoint(checkpoint, policy)
  const hashes = leaves.map((leaf) => sha256(Buffer.from([0]), leaf))
  assert(verdict.problem === undefined && verdict.checkpoint.size === size, `${verdict.problem} ${checkpoint}`)
  assert(verdict.checkpoint.root === mth(hashes).toString('base64'), 'the root is that of the leaves')
  const expected = new Map<string, Buffer>()
  for (let level = 0; Math.floor(size / 256 ** level) > 0; level += 1) {
    const span = 256 ** level
    const nodes = Array.from({ length: Math.floor(size / span) }, (_, at) =>
      mth(hashes.slice(at * span, (at + 1) * span)),
    )
    for (let at = 0; at < nodes.length; at += 256)
      expected.set(nameOf(String(level), at / 256, nodes.length - at), Buffer.concat(nodes.slice(at, at + 256)))
  }
  for (let at = 0; at < size; at += 256) {
    const entries = leaves.slice(at, at + 256).flatMap((leaf) => [Buffer.from([0, 32]), leaf])
    expected.set(nameOf('entries', at / 256, size - at), Buffer.concat(entries))
  }
  for (const [name, bytes] of expected)
    assert((await readFile(join(dir, name))).equals(bytes), `${name} is what it should be`)
  const found = (await readdir(join(dir, 'tile'), { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
  const full = found.filter((name) => !name.includes('.p/'))
  const surplus = full.filter((name) => !expected.has(name) && !name.endsWith('.tmp'))
  assert(surplus.length === 0, `nothing else is published: ${surplus}`)
  return checkpoint
}

function nameOf(level: string, index: number, left: number): string {
  const padded = String(index).padStart(Math.ceil(String(index).length / 3) * 3, '0')
  const groups = padded.match(/.../g) ?? []
  const place = [...groups.slice(0, -1).map((group) => `x${group}`), groups.at(-1)].join('/')
  return `tile/${level}/${place}${left < 256 ? `.p/${left}` : ''}`
}

function mth(hashes: readonly Buffer[]): Buffer {
  const [only] = hashes
  if (only === undefined) return sha256()
  if (hashes.length === 1) return only
  let k = 1
  while (k * 2 < hashes.length) k *= 2
  return sha256(Buffer.from([1]), mth(hashes.slice(0, k)), mth(hashes.slice(k)))
}

function sha256(...parts: Buffer[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer')
}

export async function untilSize(dir: string, size: number, withinMs = 60_000): Promise<void> {
  await until(
    `the log in ${dir} has ${size} leaves`,
    async () => {
      const text = await readFile(join(dir, 'checkpoint'), 'utf8').catch(() => '')
      return Number(text.split('\n')[1]) >= size
    },
    withinMs,
  )
}
