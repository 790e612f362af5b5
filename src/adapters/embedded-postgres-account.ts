import { chmod, lchown, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

// Users without rights of their own that systems bring along, in order of preference.
const UNPRIVILEGED = ['nobody', 'postgres', 'daemon']

/** Who runs the database server. `ids` is empty when it is the gateway's own user, and else what a child is started with. */
export interface ServerAccount {
  uid: number
  ids: { uid?: number; gid?: number }
}

/**
 * The gateway's own user. PostgreSQL refuses root, so under root it is the owner of the existing database, else the owner of the
 * folder it goes to, else an unprivileged user of the system.
 */
export async function chooseAccount(pgdata: string): Promise<ServerAccount> {
  const own = process.getuid?.() ?? -1
  const existing = await ownerOf(pgdata)
  if (own !== 0) {
    if (existing !== undefined && existing.uid !== own) {
      throw new Error(
        `The database in ${pgdata} belongs to user ${existing.uid}, not to this user (${own}). ` +
          'Start as root or as that user, or choose another directory with DATA_DIR.',
      )
    }
    return { uid: own, ids: {} }
  }
  if (existing !== undefined && existing.uid !== 0) return { uid: existing.uid, ids: existing }
  const known = await readUsers()
  // PostgreSQL creates databases only for users that have a name.
  const folderOwner = await ownerOf(dirname(pgdata))
  const chosen =
    known.find((user) => user.uid !== 0 && user.uid === folderOwner?.uid) ??
    UNPRIVILEGED.flatMap((name) => known.filter((user) => user.name === name && user.uid > 0 && user.gid > 0))[0]
  if (chosen !== undefined) return { uid: chosen.uid, ids: { uid: chosen.uid, gid: chosen.gid } }
  throw new Error(
    `PostgreSQL refuses to run as root, and /etc/passwd has none of the users ${UNPRIVILEGED.join(', ')}. ` +
      'Start as an ordinary user, or set DATABASE_URL to a server.',
  )
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found && { uid: found.uid, gid: found.gid }
}

async function readUsers(): Promise<{ name: string; uid: number; gid: number }[]> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n')
  return lines.map((line) => {
    const [name = '', , uid, gid] = line.split(':')
    return { name, uid: Number(uid), gid: Number(gid) }
  })
}

/** The first directory from the root down to `path` that the account may not enter, or undefined. `path` is free of links. */
export async function findBarrier(path: string, account: ServerAccount): Promise<string | undefined> {
  const { uid, gid } = account.ids
  if (uid === undefined) return undefined
  const ancestors = [path]
  for (let at = path; at !== dirname(at); at = dirname(at)) ancestors.unshift(dirname(at))
  for (const ancestor of ancestors) {
    const { mode, uid: ownerUid, gid: ownerGid } = await stat(ancestor)
    const bit = ownerUid === uid ? 0o100 : ownerGid === gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return ancestor
  }
  return undefined
}

/** Makes a directory that every user may pass through, whatever the umask; an existing one stays as it is. */
export async function makePassable(path: string): Promise<void> {
  if ((await mkdir(path, { recursive: true })) !== undefined) await chmod(path, 0o755)
}

/** Gives a directory tree to the account; for databases that root restored from a backup as its own. */
export async function giveTree(path: string, account: ServerAccount): Promise<void> {
  const { uid, gid } = account.ids
  if (uid === undefined || gid === undefined) return
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) await giveTree(inner, account)
    else await lchown(inner, uid, gid)
  }
  await lchown(path, uid, gid)
}
