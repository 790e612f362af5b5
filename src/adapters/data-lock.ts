import { createHash, randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, readdir, readFile, readlink, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from '#lib/assert.ts'
import { findProcess } from '#lib/find-process.ts'

const TIE_WAIT_MS_MAX = 5_000
const HELD = 'held'
const HEARTBEAT_MS = 1_000
const HEARTBEAT_MISSED_MS = 5_000

export interface DataLock {
  release(): Promise<void>
}

/** Another living process holds the directory. `pid` is its number in its own container or machine. */
export class DataDirInUseError extends Error {
  override readonly name = 'DataDirInUseError'
  readonly pid: number

  constructor(dataDir: string, claim: Claim, elsewhere: boolean) {
    const here = claim.pid === process.pid ? 'this process' : 'another process'
    const where = elsewhere ? 'a process on another machine or in another container' : here
    super(
      `The data directory ${dataDir} is in use by ${where} (pid ${claim.pid}). ` +
        'Stop that process first, or choose another directory with DATA_DIR.',
    )
    this.pid = claim.pid
  }
}

/**
 * Takes a data directory for this process, creating it when missing. Throws DataDirInUseError while another living process has it;
 * a holder that was killed does not count. `part` names what is locked: parts of one directory do not exclude each other.
 *
 * Every process writes a claim under a name of its own and then looks for the claims of others, so that no claim is ever taken over
 * and a dead one can be removed at any time: its name never comes back.
 */
export async function lockDataDir(dataDir: string, part = 'gateway'): Promise<DataLock> {
  const folder = await makeFolder(dataDir).catch((error) => {
    throw explainDenied(error, dataDir)
  })
  const space = await pidSpace()
  const mine: Claim = {
    part,
    claimedAt: Date.now(),
    pid: process.pid,
    startedAt: startOf(process.pid),
    space,
    nonce: randomBytes(4).toString('hex'),
  }
  const path = join(folder, encodeClaim(mine))
  await writeFile(path, 'wanted', { flag: 'wx', mode: 0o600 }).catch((error) => {
    throw explainDenied(error, dataDir)
  })
  // Only a process that cannot see our pid reads this: it takes a file that stands still for an abandoned claim.
  const heartbeat = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => {})
  }, HEARTBEAT_MS)
  heartbeat.unref()
  const release = async () => {
    clearInterval(heartbeat)
    await rm(path, { force: true })
  }
  try {
    await awaitSoleClaim({ dataDir, folder, mine })
    await writeFile(path, HELD)
  } catch (error) {
    await release()
    throw error
  }
  return { release }
}

/** The pid of the living process on this machine that holds `part` of the directory, or undefined. */
export async function findLockHolder(dataDir: string, part = 'gateway'): Promise<number | undefined> {
  const space = await pidSpace()
  const claims = await readClaims(join(dataDir, 'locks'), part)
  return claims.find((claim) => claim.space === space && isAlive(claim))?.pid
}

async function makeFolder(dataDir: string): Promise<string> {
  const root = process.getuid?.() === 0
  // Under root the database server is another user, who has to pass through; the secrets inside are private files.
  const created = await mkdir(dataDir, { recursive: true })
  if (created !== undefined) await chmod(dataDir, root ? 0o711 : 0o700)
  const folder = join(dataDir, 'locks')
  await mkdir(folder, { recursive: true })
  const { uid, gid } = await stat(dataDir)
  // Root may visit the directory of an ordinary user, who must still be able to lock it afterwards.
  if (root) await chown(folder, uid, gid)
  return folder
}

function explainDenied(error: NodeJS.ErrnoException, dataDir: string): Error {
  if (error.code !== 'EACCES' && error.code !== 'EROFS' && error.code !== 'EPERM') return error
  return new Error(
    `The data directory ${dataDir} cannot be written by user ${process.getuid?.()} (${error.code}). ` +
      'Start as its owner, or choose another directory with DATA_DIR.',
    { cause: error },
  )
}

async function awaitSoleClaim(input: { dataDir: string; folder: string; mine: Claim }): Promise<void> {
  const { folder, mine } = input
  const deadline = Date.now() + TIE_WAIT_MS_MAX
  for (;;) {
    const rivals = (await readClaims(folder, mine.part)).filter((claim) => claim.nonce !== mine.nonce)
    let contested = false
    for (const rival of rivals) {
      const path = join(folder, encodeClaim(rival))
      const elsewhere = rival.space !== mine.space
      if (elsewhere ? await isBeating(path) : isAlive(rival)) {
        // Of two that start together the elder stays and the younger gives way; but who came through first stays in any case.
        const settled = elsewhere || isElder(rival, mine) || (await isHeld(path)) || Date.now() > deadline
        if (settled) throw new DataDirInUseError(input.dataDir, rival, elsewhere)
        contested = true
      } else {
        await rm(path, { force: true })
      }
    }
    if (!contested) return
    await sleep(50)
  }
}

interface Claim {
  part: string
  claimedAt: number
  pid: number
  startedAt: string
  space: string
  nonce: string
}

function encodeClaim(claim: Claim): string {
  assert(/^\w+$/.test(claim.part), 'a lock is named by one word')
  return [claim.part, claim.claimedAt, claim.pid, claim.startedAt, claim.space, claim.nonce].join('.')
}

// The eldest first: a refusal names the holder and not another that is being refused.
async function readClaims(folder: string, part: string): Promise<Claim[]> {
  const names = await readdir(folder).catch((error) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const claims = names.flatMap((name) => {
    const [of, claimedAt, pid, startedAt = '', space = '', nonce] = name.split('.')
    if (of !== part || nonce === undefined) return []
    return [{ part, claimedAt: Number(claimedAt), pid: Number(pid), startedAt, space, nonce }]
  })
  return claims.sort((a, b) => (isElder(a, b) ? -1 : 1))
}

function isElder(one: Claim, other: Claim): boolean {
  return one.claimedAt === other.claimedAt ? one.nonce < other.nonce : one.claimedAt < other.claimedAt
}

function isAlive(claim: Claim): boolean {
  if (findProcess(claim.pid) === undefined) return false
  const startedAt = startOf(claim.pid)
  // A start time that cannot be read proves nothing, so the claim counts.
  return startedAt === '' || claim.startedAt === '' || startedAt === claim.startedAt
}

async function isHeld(path: string): Promise<boolean> {
  return (await readFile(path, 'utf8').catch(() => '')) === HELD
}

async function isBeating(path: string): Promise<boolean> {
  const before = await modifiedAt(path)
  await sleep(HEARTBEAT_MISSED_MS)
  const after = await modifiedAt(path)
  return after !== undefined && after !== before
}

async function modifiedAt(path: string): Promise<number | undefined> {
  return await stat(path).then(
    (found) => found.mtimeMs,
    () => undefined,
  )
}

function startOf(pid: number): string {
  return (findProcess(pid)?.startedAt ?? '').replace(/\W+/g, '_')
}

// Pids mean something only within one boot of one machine and one pid namespace.
async function pidSpace(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => hostname())
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '')
  return createHash('sha256').update(`${boot.trim()} ${namespace}`).digest('hex').slice(0, 12)
}
