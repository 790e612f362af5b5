import { createHash, randomUUID } from 'node:crypto'
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'

const NAME = /^([0-9a-f]{13}-\d{6})-([0-9a-f]{8})-(\d+)-([0-9a-f]{8})\.ndjson$/

/** Longer without a sign of life, and its owner counts as gone, wherever it runs. */
const SILENT_MS_MAX = 10 * 60_000

const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
const living = new Set<string>()
let made = 0

/** Who writes a segment: a queue of a process of a machine. */
export interface Owner {
  token: string
}

export function createOwner(): Owner {
  const token = randomUUID().slice(0, 8)
  living.add(token)
  return { token }
}

export function endOwner({ token }: Owner): void {
  living.delete(token)
}

/** A name that sorts by the time of its making. `since` keeps the place of a segment that changes its owner. */
export function segmentName({ token }: Owner, since?: string): string {
  made += 1
  const place = since ?? `${Date.now().toString(16).padStart(13, '0')}-${String(made % 1_000_000).padStart(6, '0')}`
  return `${place}-${host}-${process.pid}-${token}.ndjson`
}

/** The place of an abandoned segment in the order of time; undefined for files of a queue that lives, and for other files. */
export async function abandonedSince(directory: string, name: string): Promise<string | undefined> {
  const [, since, itsHost, pid, token] = NAME.exec(name) ?? []
  if (since === undefined || token === undefined || living.has(token)) return undefined
  if (itsHost === host && !isAlive(Number(pid))) return since
  try {
    const { mtimeMs } = await stat(join(directory, name))
    return Date.now() - mtimeMs > SILENT_MS_MAX ? since : undefined
  } catch {
    return undefined // Somebody else was faster.
  }
}

/** Our own number belonged to a process before us: in a container it is always the same. */
function isAlive(pid: number): boolean {
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return Reflect.get(error as object, 'code') === 'EPERM'
  }
}

/** One file of a queue, entries as lines. `begin` is where the first one stands that is not dealt with. */
export interface Segment {
  path: string
  begin: number
  end: number
  entries: number
  /** Open for writing, as long as entries are added to it. */
  handle?: number
}

export function openSegment(path: string): Segment {
  return { path, begin: 0, end: 0, entries: 0, handle: openSync(path, 'ax', 0o600) }
}

/** Adds a line, in the page cache of the system when this returns. Throws when it cannot be written whole. */
export function appendLine(segment: Segment, line: Uint8Array): void {
  const { handle } = segment
  if (handle === undefined || fstatSync(handle).nlink === 0) throw new Error('the file of the queue is gone')
  const written = writeSync(handle, line)
  if (written !== line.byteLength) {
    ftruncateSync(handle, segment.end)
    throw new Error('the disk is full')
  }
  segment.end += written
  segment.entries += 1
}

export function closeSegment(segment: Segment): void {
  if (segment.handle !== undefined) closeSync(segment.handle)
  delete segment.handle
}

/** Whole lines from `begin` on, within the limits; `bytes` is what they take in the file, what is no entry among them. */
export async function readLines(
  segment: Segment,
  limits: { entries: number; bytes: number },
): Promise<{ lines: string[]; bytes: number; unreadable: number }> {
  const size = Math.min(limits.bytes, segment.end - segment.begin)
  const buffer = Buffer.alloc(size)
  const file = await open(segment.path, 'r')
  try {
    const { bytesRead } = await file.read(buffer, 0, size, segment.begin)
    const lines: string[] = []
    let bytes = 0
    let unreadable = 0
    while (lines.length < limits.entries) {
      const stop = buffer.subarray(0, bytesRead).indexOf(10, bytes)
      if (stop < 0) break
      const line = buffer.toString('utf8', bytes, stop)
      if (isEntry(line)) lines.push(line)
      else unreadable += 1
      bytes = stop + 1
    }
    // Without an end of line there is nothing but the torn last one: whoever wrote it was killed at it.
    if (bytes === 0) return { lines, bytes: size, unreadable: 1 }
    return { lines, bytes, unreadable }
  } finally {
    await file.close()
  }
}

function isEntry(line: string): boolean {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && Reflect.has(value, 'idempotency_key')
  } catch {
    return false
  }
}
