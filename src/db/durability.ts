import type { Db } from './pool.ts'

const VERSION_MIN = 150_000

/** A server that may forget what it has acknowledged, or is too old, must not keep money. */
export class UnsafeDatabaseError extends Error {
  override readonly name = 'UnsafeDatabaseError'
}

/** Throws UnsafeDatabaseError, naming every setting that is wrong. */
export async function requireDurable(db: Db): Promise<void> {
  const { rows } = await db.query<{ name: string; setting: string }>(
    `select name, setting from pg_settings
     where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'server_version_num')`,
  )
  const value = new Map(rows.map((row) => [row.name, row.setting]))
  const problems: string[] = []
  if (Number(value.get('server_version_num')) < VERSION_MIN) problems.push('PostgreSQL 15 or newer is needed')
  for (const name of ['fsync', 'full_page_writes'])
    if (value.get(name) !== 'on') problems.push(`${name} must be on, it is ${value.get(name)}`)
  if (value.get('synchronous_commit') === 'off' || value.get('synchronous_commit') === 'local')
    problems.push(`synchronous_commit must be on, it is ${value.get('synchronous_commit')}`)
  if (problems.length > 0)
    throw new UnsafeDatabaseError(
      `This database could lose money that it has acknowledged, so the gateway does not start:\n- ${problems.join('\n- ')}`,
    )
}
