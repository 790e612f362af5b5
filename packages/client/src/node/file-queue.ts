import { mkdirSync, rmSync, truncateSync } from 'node:fs'
import { readdir, readFile, rename, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { createMemoryQueue, type UsageQueue } from '../usage/usage-queue.ts'
import {
  abandonedSince,
  appendLine,
  closeSegment,
  createOwner,
  endOwner,
  openSegment,
  readLines,
  type Segment,
  segmentName,
} from './queue-segment.ts'

const SEGMENT_BYTES = 1024 * 1024
const LOOK_AROUND_MS = 60_000

/** What waits in memory when the disk does not take it. */
const SPARE = { entriesMax: 10_000, bytesMax: 16 * 1024 * 1024 }

export interface FileQueueOptions {
  /** Where the files are, for entries of one project only. It is made if it is not there. Processes may share it. */
  directory: string
  /** How many bytes wait at most; then the oldest go. */
  bytesMax: number
  /** Told why entries wait in memory, or were dropped unread. */
  onFault: (error: unknown, entriesLost: number) => void
}

/**
 * Entries in files, each written before `push` returns, so that a killed process loses none. What earlier processes have left there is
 * taken over. What was sent and not yet removed is sent again; its keys tell the server.
 */
export function createFileQueue({ directory, bytesMax, onFault }: FileQueueOptions): UsageQueue {
  const owner = createOwner()
  const spare = createMemoryQueue(SPARE)
  const segments: Segment[] = [] // Oldest first. Only the last one may be open.
  let peeked: { segment: Segment; bytes: number; entries: number } | 'spare' | undefined
  let found: () => void = () => undefined
  let isClosed = false

  function push(entry: { json: string; bytes: number }): number {
    const line = Buffer.from(`${entry.json}\n`)
    try {
      try {
        appendLine(currentSegment(), line)
      } catch {
        // Once more in a file of its own: somebody may have cleared the directory away.
        retire()
        appendLine(currentSegment(), line)
      }
      return dropOldest()
    } catch (error) {
      onFault(error, 0)
      return spare.push(entry)
    }
  }

  function currentSegment(): Segment {
    const last = segments.at(-1)
    if (last?.handle !== undefined && last.end < SEGMENT_BYTES) return last
    retire()
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const segment = openSegment(join(directory, segmentName(owner)))
    segments.push(segment)
    return segment
  }

  /** Nothing is added to the last segment any more. */
  function retire(): void {
    const last = segments.at(-1)
    if (last !== undefined) closeSegment(last)
  }

  function dropOldest(): number {
    let dropped = 0
    while (segments.reduce((sum, { begin, end }) => sum + end - begin, 0) > bytesMax) {
      const oldest = segments.find((segment) => segment.handle === undefined && segment !== peekedSegment())
      if (oldest === undefined) break
      dropped += oldest.entries
      discard(oldest)
    }
    return dropped
  }

  function peekedSegment(): Segment | undefined {
    return typeof peeked === 'object' ? peeked.segment : undefined
  }

  function discard(segment: Segment): void {
    closeSegment(segment)
    rmSync(segment.path, { force: true })
    const at = segments.indexOf(segment)
    if (at >= 0) segments.splice(at, 1)
  }

  async function peek(limits: { entries: number; bytes: number }): Promise<readonly string[]> {
    peeked = undefined
    for (let segment = segments[0]; segment !== undefined; segment = segments[0]) {
      if (segment.begin === segment.end) {
        if (segment.handle !== undefined) break
        discard(segment)
        continue
      }
      try {
        const { lines, bytes, unreadable } = await readLines(segment, limits)
        segment.entries -= unreadable
        if (unreadable > 0) onFault(new Error(`${segment.path} holds what is no entry`), unreadable)
        peeked = { segment, bytes, entries: lines.length }
        if (lines.length > 0) return lines
        remove(0)
      } catch (error) {
        onFault(error, segment.entries)
        discard(segment)
      }
    }
    peeked = 'spare'
    return await spare.peek(limits)
  }

  function remove(count: number): void {
    if (peeked === 'spare') spare.remove(count)
    else if (peeked !== undefined) {
      const { segment, bytes } = peeked
      segment.begin += bytes
      segment.entries -= count
      if (segment.begin === segment.end) empty(segment)
    }
    peeked = undefined
  }

  /** A file that is written to stays, so that a steady flow does not make one file for each batch. */
  function empty(segment: Segment): void {
    try {
      if (segment.handle === undefined) discard(segment)
      else {
        truncateSync(segment.path)
        Object.assign(segment, { begin: 0, end: 0, entries: 0 })
      }
    } catch (error) {
      onFault(error, 0)
      discard(segment)
    }
  }

  /** Takes over what others have left, and shows them that we live. */
  async function lookAround(): Promise<void> {
    const now = new Date()
    for (const { path } of segments) await utimes(path, now, now).catch(() => undefined)
    let hasFound = false
    for (const name of (await readdir(directory).catch(() => [])).sort()) {
      const since = await abandonedSince(directory, name)
      if (since === undefined || isClosed) continue
      const path = join(directory, segmentName(owner, since))
      try {
        // Only one can succeed: whoever comes later finds no such file.
        await rename(join(directory, name), path)
        const content = await readFile(path)
        const lines = content.reduce((count, byte) => (byte === 10 ? count + 1 : count), 0)
        // A torn last line counts too, until it has been looked at.
        const entries = content.at(-1) === 10 || content.byteLength === 0 ? lines : lines + 1
        segments.splice(placeOf(path), 0, { path, begin: 0, end: content.byteLength, entries })
        hasFound = true
      } catch (error) {
        if (Reflect.get(error as object, 'code') !== 'ENOENT') onFault(error, 0)
      }
    }
    if (hasFound) found()
  }

  /** By the time of their making, but never before the one that is being sent, nor after the one that is written to. */
  function placeOf(path: string): number {
    const at = segments.findIndex((segment, index) => (index > 0 || segment !== peekedSegment()) && segment.path > path)
    if (at >= 0) return at
    return segments.at(-1)?.handle === undefined ? segments.length : segments.length - 1
  }

  void lookAround()
  const timer = setInterval(() => void lookAround(), LOOK_AROUND_MS)
  timer.unref()

  return {
    push,
    peek,
    remove,
    get waiting() {
      return segments.reduce((sum, { entries }) => sum + entries, spare.waiting)
    },
    isDurable: true,
    onFound(listener) {
      found = listener
    },
    close() {
      isClosed = true
      clearInterval(timer)
      for (const segment of [...segments]) {
        closeSegment(segment)
        if (segment.begin === segment.end) discard(segment)
      }
      endOwner(owner)
      spare.close()
    },
  }
}
