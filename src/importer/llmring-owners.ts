import { hash } from 'node:crypto'
import type { Tx } from '#db/pool.ts'
import { type LlmringShape, tableName } from './llmring-shape.ts'
import { columnOf, hashOf, ownedRows, textOf, unlessBlank } from './llmring-sql.ts'

type OwnerKind = 'project' | 'key' | 'none'

/** A usage context of the source: a project of its own, or a header that was all there was. */
export interface SourceOwner {
  kind: OwnerKind
  /** SHA-256 of what it is called in the source. */
  sourceHash: Buffer
  /** Shown instead of what it is called: twelve hex digits of the hash. */
  fingerprint: string
  /** Only of a project that has one. */
  name: string | null
}

/** A key that clients of the source present. */
export interface SourceKey {
  /** SHA-256 of the secret: what a request is looked up by. */
  hash: Buffer
  owner: { kind: OwnerKind; sourceHash: Buffer }
  /** Why it cannot be accepted here. */
  refused: string | null
}

export interface SourceOwners {
  owners: SourceOwner[]
  keys: SourceKey[]
  /** Keys of which the source holds nothing that a request could be compared with. */
  keysUnreadable: number
}

const KEY_CHARS_MAX = 255

/** Everybody who owns anything in the source, in an order that does not change. Secrets do not leave this function. */
export async function listOwners(tx: Tx, shape: LlmringShape): Promise<SourceOwners> {
  const owners = new Map<string, SourceOwner>()
  const own = (kind: OwnerKind, called: string, name: string | null = null): SourceOwner => {
    const sourceHash = sha256(called)
    const id = `${kind} ${sourceHash.toString('hex')}`
    const owner = owners.get(id) ?? { kind, sourceHash, fingerprint: fingerprintOf(called), name }
    owner.name ??= name
    owners.set(id, owner)
    return owner
  }
  for (const { id, name } of await projectsOf(tx, shape)) own('project', id, name)

  // The projects that a header was used for. With exactly one, the key is that project's; else it owns what has none.
  const headers = new Map<string, Set<string | null>>()
  for (const { project, header } of await usedBy(tx, shape)) {
    if (project !== null) own('project', project)
    else if (header !== null) own('key', header)
    else own('none', '')
    if (header !== null) headers.set(header, (headers.get(header) ?? new Set()).add(project))
  }
  for (const owner of await aliasOwners(tx, shape)) {
    if (shape.aliases?.ownerIsProject === true) own('project', owner)
    else {
      own('key', owner)
      headers.set(owner, (headers.get(owner) ?? new Set()).add(null))
    }
  }

  const keys = new Map<string, SourceKey>()
  for (const [header, projects] of headers) {
    const [project] = projects
    const owner = projects.size === 1 && typeof project === 'string' ? own('project', project) : own('key', header)
    const digest = sha256(header)
    keys.set(digest.toString('hex'), { hash: digest, owner, refused: whyUnusable(header) })
  }
  let keysUnreadable = 0
  for (const { project, raw, digest, ended } of await keysOf(tx, shape)) {
    const found =
      raw !== null
        ? sha256(raw)
        : digest !== null && /^[0-9a-f]{64}$/.test(digest)
          ? Buffer.from(digest, 'hex')
          : undefined
    if (found === undefined) {
      keysUnreadable += 1
      continue
    }
    const known = keys.get(found.toString('hex'))
    const owner =
      project !== null ? own('project', project) : (known?.owner ?? own(raw === null ? 'none' : 'key', raw ?? ''))
    const refused = ended ? 'ended_in_source' : raw === null ? null : whyUnusable(raw)
    keys.set(found.toString('hex'), { hash: found, owner, refused })
  }
  const inOrder = (one: Buffer, other: Buffer) => one.compare(other)
  return {
    owners: [...owners.values()].sort((a, b) => a.kind.localeCompare(b.kind) || inOrder(a.sourceHash, b.sourceHash)),
    keys: [...keys.values()].sort((a, b) => inOrder(a.hash, b.hash)),
    keysUnreadable,
  }
}

/** What stands for a secret or an id where people look: file names, names of projects. */
export function fingerprintOf(called: string): string {
  return sha256(called).toString('hex').slice(0, 12)
}

export function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

async function projectsOf(tx: Tx, shape: LlmringShape): Promise<{ id: string; name: string | null }[]> {
  const { projects } = shape
  if (projects === undefined) return []
  const { rows } = await tx.query<{ id: string; name: string | null }>(
    `select ${textOf('u', projects.id)} as id, ${unlessBlank(textOf('u', projects.name))} as name from ${tableName(shape, 'projects')} u`,
  )
  return rows
}

async function usedBy(tx: Tx, shape: LlmringShape): Promise<{ project: string | null; header: string | null }[]> {
  const tables = (['usage_logs', 'receipts', 'conversations'] as const).filter((table) =>
    shape.catalog.tables.has(table),
  )
  const parts = tables.map((table) => {
    const { from, project, header } = ownedRows(shape, table)
    return `select distinct ${project} as project, ${header} as header from ${from}`
  })
  const { rows } = await tx.query<{ project: string | null; header: string | null }>(
    `select distinct project, header from (${parts.join(' union all ')}) u`,
  )
  return rows
}

async function aliasOwners(tx: Tx, shape: LlmringShape): Promise<string[]> {
  if (shape.aliases === undefined) return []
  const { rows } = await tx.query<{ owner: string }>(
    `select distinct ${textOf('a', shape.aliases.owner)} as owner from ${tableName(shape, 'aliases')} a
     where ${unlessBlank(textOf('a', shape.aliases.owner))} is not null`,
  )
  return rows.map(({ owner }) => owner)
}

async function keysOf(
  tx: Tx,
  shape: LlmringShape,
): Promise<{ project: string | null; raw: string | null; digest: string | null; ended: boolean }[]> {
  const { keys } = shape
  if (keys === undefined) return []
  const { rows } = await tx.query<{
    project: string | null
    raw: string | null
    digest: string | null
    ended: boolean
  }>(
    `select ${textOf('k', keys.project)} as project, ${unlessBlank(textOf('k', keys.raw))} as raw,
            ${keys.hash === undefined ? 'null::text' : hashOf(keys.hash)} as digest,
            coalesce(${columnOf('k', keys.revoked)} is not null, false)
              or coalesce(${keys.active === undefined ? 'false' : `not ${columnOf('k', keys.active)}`}, false)
              or coalesce(${keys.expires === undefined ? 'false' : `${columnOf('k', keys.expires)} <= now()`}, false) as ended
     from ${tableName(shape, 'api_keys')} k`,
  )
  return rows
}

/** What a request can carry in a header, after the server has trimmed it. */
function whyUnusable(secret: string): string | null {
  if ([...secret].length > KEY_CHARS_MAX) return 'longer_than_255'
  if (/\s/.test(secret)) return 'has_white_space'
  return /^[!-~]+$/.test(secret) ? null : 'not_visible_ascii'
}
