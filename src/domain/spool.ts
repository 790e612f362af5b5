import { type FileHandle, open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { leafHash } from '#billing/merkle.ts'
import type { SettleOp } from './ledger.ts'

/**
 * One spooled settlement is about 2 KB; open calls are bounded, so this is far above what a full gateway can owe, and still
 * below the longest text that the next process can read back.
 */
const SPOOL_BYTES_MAX = 256 * 1024 ** 2

/**
 * Settlements that wait for a database which is away, on this machine's disk: one line each, checked by a CRC, flushed
 * before `append` resolves. A process that dies meanwhile finds them at its next start and settles them then; settling
 * twice is harmless, so lines are only dropped when nothing waits any more.
 */
export async function openSpool(path: string) {
  const text = await readFile(path, 'utf8').catch(whenMissing)
  const { ops: left, torn } = parseSpool(text)
  const file: FileHandle = await open(path, 'a', 0o600)
  await syncName(path)
  // A line that broke off was promised to nobody. A damaged one in the midst of others stays, for a person to look at.
  if (left.length === 0 && torn === 1 && !text.endsWith('\n')) await file.truncate(0)
  // On their way into the file, and in the file.
  const coming = new Set<string>()
  const waiting = new Set<string>(left.map((op) => op.requestId))
  let bytes = (await file.stat()).size
  // What follows a line that broke off would be read as a part of it.
  let atLineStart = bytes === 0 || text.endsWith('\n')
  let tail: Promise<void> = Promise.resolve()

  /** File operations run one at a time, in order. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    const done = tail.then(work)
    tail = done.catch(() => undefined)
    return done
  }

  async function write(ops: readonly SettleOp[]): Promise<void> {
    const lines = Buffer.from((atLineStart ? '' : '\n') + ops.map(encodeLine).join(''))
    if (bytes + lines.length > SPOOL_BYTES_MAX) throw new Error(`the spool ${path} is full`)
    atLineStart = false
    await file.appendFile(lines)
    await file.datasync()
    atLineStart = true
    bytes += lines.length
  }

  /** What stays in the file because this fails is settled again at the next start, without effect. */
  function emptyWhenIdle(): void {
    if (waiting.size > 0) return
    void inTurn(async () => {
      if (waiting.size > 0) return
      await file.truncate(0)
      await file.datasync()
      bytes = 0
      atLineStart = true
    }).catch(() => undefined)
  }

  return {
    /** What an earlier process left behind, and how many torn lines were skipped (a line that was never flushed). */
    left,
    torn,

    /** Durable when it resolves. Operations that are already here, or settled meanwhile, are not written again. */
    append(ops: readonly SettleOp[]): Promise<void> {
      for (const { requestId } of ops) if (!waiting.has(requestId)) coming.add(requestId)
      return inTurn(async () => {
        const fresh = ops.filter((op) => coming.has(op.requestId))
        if (fresh.length === 0) return
        await write(fresh)
        for (const { requestId } of fresh) if (coming.delete(requestId)) waiting.add(requestId)
        emptyWhenIdle()
      })
    },

    /** This settlement is committed. The file is emptied when nothing in it waits any more. */
    settled(requestId: string): void {
      coming.delete(requestId)
      if (waiting.delete(requestId)) emptyWhenIdle()
    },

    get size(): number {
      return waiting.size
    },

    async close(): Promise<void> {
      await tail
      await file.close()
    },
  }
}

export type Spool = Awaited<ReturnType<typeof openSpool>>

function encodeLine(op: SettleOp): string {
  const { leaf: _, ...rest } = op
  const json = JSON.stringify(rest, (_key, value) => (typeof value === 'bigint' ? `${value}n` : value))
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`
}

const bigints = ['walletId', 'seq', 'charged', 'absorbed', 'cost'] as const

/** Exported for its test. */
export function parseSpool(text: string): { ops: SettleOp[]; torn: number } {
  const ops = new Map<string, SettleOp>()
  let torn = 0
  for (const line of text.split('\n')) {
    if (line === '') continue
    const json = line.slice(9)
    if (line.slice(0, 8) !== crc32(json).toString(16).padStart(8, '0')) {
      torn += 1
      continue
    }
    const stored = JSON.parse(json) as Record<string, unknown>
    for (const name of bigints) stored[name] = BigInt(String(stored[name]).slice(0, -1))
    // A release before these members spooled without them.
    const { projectId = projectOf(stored), modelUsed = null } = stored
    const op = { ...stored, projectId, modelUsed, leaf: leafHash(String(stored.receipt)) } as SettleOp
    ops.set(op.requestId, op)
  }
  return { ops: [...ops.values()], torn }
}

function projectOf({ receipt }: Record<string, unknown>): string | null {
  const { project_key } = JSON.parse(String(receipt)) as { project_key?: string }
  return project_key ?? null
}

function whenMissing(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return ''
  throw error
}

/** A file whose name is not flushed may be gone after a power cut, whatever was flushed into it. */
async function syncName(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
