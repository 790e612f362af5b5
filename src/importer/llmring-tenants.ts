import { type Db, type Tx, transaction } from '#db/pool.ts'
import { NAME_CHARS_MAX } from '#domain/plain-text.ts'
import { createProjects } from '#domain/projects.ts'
import { randomText } from '#lib/ids.ts'
import type { SourceKey, SourceOwner, SourceOwners } from './llmring-owners.ts'

/** Who owns an imported row here. */
export interface Tenants {
  projectOf(kind: string, sourceHash: Buffer): string | undefined
  /** The key of a row, by the hex SHA-256 of its secret; a placeholder for rows that name none. */
  keyOf(hash: string | undefined): string
}

const NO_KEY = 'imported'

/**
 * Opens a project for every owner that has none yet, and gives every key the id that it will have. A header that is accepted here
 * already keeps its key and project: the history joins it.
 */
export async function openTenants(db: Db, name: string, source: SourceOwners): Promise<void> {
  const { projectOf } = await readTenants(db, name)
  for (const owner of source.owners.filter(({ kind, sourceHash }) => projectOf(kind, sourceHash) === undefined)) {
    await transaction(db, async (tx) => {
      const projectId = (await ownerOfKey(tx, owner)) ?? (await openProject(tx, name, owner))
      await tx.query('insert into import_tenant (import, kind, source_hash, project_id) values ($1, $2, $3, $4)', [
        name,
        owner.kind,
        owner.sourceHash,
        projectId,
      ])
    })
  }
  for (const key of source.keys) await prepareKey(db, name, key)
}

async function ownerOfKey(tx: Tx, owner: SourceOwner): Promise<string | undefined> {
  if (owner.kind !== 'key') return undefined
  const { rows } = await tx.query<{ id: string }>('select project_id as id from api_key where hash = $1', [
    owner.sourceHash,
  ])
  return rows[0]?.id
}

async function openProject(tx: Tx, name: string, owner: SourceOwner): Promise<string> {
  const projects = createProjects({ db: tx })
  for (const candidate of namesOf(name, owner)) {
    const { rowCount } = await tx.query('select from project where name = $1', [candidate])
    if (rowCount === 0) return (await projects.create({ name: candidate })).id
  }
  const { id } = await projects.create({ name: `${name}-${owner.fingerprint}-${randomText(6)}` })
  return id
}

/** Its own name where that can stand here, else its fingerprint. */
function namesOf(name: string, owner: SourceOwner): string[] {
  if (owner.kind === 'none') return [`${name}-unattributed`]
  const plain = owner.name !== null && !/\p{Cc}/u.test(owner.name) && [...owner.name].length <= NAME_CHARS_MAX
  const named = plain && owner.name !== null ? [owner.name] : []
  return [...named, `${name}-${owner.fingerprint}`]
}

async function prepareKey(db: Db, name: string, key: SourceKey): Promise<void> {
  // Whose key it is was decided above; one that another project has already is not taken from it.
  await db.query(
    `insert into import_key as i (import, hash, project_id, key_id, refused)
     select $1, $2, t.project_id, coalesce(k.id, $5), case when k.project_id <> t.project_id then 'another_projects_key' else $6::text end
     from import_tenant t left join api_key k on k.hash = $2
     where t.import = $1 and t.kind = $3 and t.source_hash = $4
     on conflict (import, hash) do nothing`,
    [name, key.hash, key.owner.kind, key.owner.sourceHash, `key_${randomText(20)}`, key.refused],
  )
}

export async function readTenants(db: Db, name: string): Promise<Tenants> {
  const { rows: owners } = await db.query<{ kind: string; hash: Buffer; id: string }>(
    'select kind, source_hash as hash, project_id as id from import_tenant where import = $1',
    [name],
  )
  const { rows: keys } = await db.query<{ hash: Buffer; id: string }>(
    'select hash, key_id as id from import_key where import = $1',
    [name],
  )
  const projects = new Map(owners.map(({ kind, hash, id }) => [`${kind} ${hash.toString('hex')}`, id]))
  const ids = new Map(keys.map(({ hash, id }) => [hash.toString('hex'), id]))
  return {
    projectOf: (kind, sourceHash) => projects.get(`${kind} ${sourceHash.toString('hex')}`),
    keyOf: (hash) => (hash === undefined ? NO_KEY : (ids.get(hash) ?? NO_KEY)),
  }
}
