import { createHash } from 'node:crypto'
import type { Db, Tx } from '#db/pool.ts'
import { isSettingName, type StoredSettings, settingProblems } from '#domain/settings.ts'
import { assert } from '#lib/assert.ts'
import { parseRouterConfig } from './parse-config.ts'
import type { ConfigProblem, RouterDocument } from './router-document.ts'

/** Heard by every process when a version or a setting was written. */
export const ROUTER_CHANNEL = 'fluxgate_router'

const LOCK = 'fluxgate router config'

export interface ConfigRow {
  version: number
  digest: string
  author: string
  reason: string
  createdAt: Date
  parent: number
  rollbackOf: number | undefined
}

/** What is stored at one moment, read by one statement. */
export interface StoredState {
  config: (ConfigRow & { text: string }) | undefined
  settings: readonly SettingRow[]
  /** Of the last write of any setting, also of one that removed it. */
  settingsVersion: number
}

/** The versions that a write has left. */
export interface WrittenState {
  config: number
  settings: number
}

export interface SettingRow {
  version: number
  key: string
  /** JSON text. */
  text: string | undefined
  author: string
  reason: string
  createdAt: Date
}

export const configColumns = `version::float8, digest, author, reason, created_at as "createdAt", parent::float8,
  rollback_of::float8 as "rollbackOf"`
export const settingColumns = `version::float8, key, value as text, author, reason, created_at as "createdAt"`

/** `msMax` bounds the wait for a database that says nothing. */
export async function readState(db: Db | Tx, msMax?: number): Promise<StoredState> {
  const query = {
    text: `select 'config' as part, version::float8, digest as key, config as text, author, reason, created_at as "createdAt",
                  parent::float8, rollback_of::float8 as "rollbackOf"
           from (select * from router_config order by version desc limit 1) c
           union all
           select 'setting', version::float8, key, value, author, reason, created_at, null, null
           from (select distinct on (key) * from setting order by key, version desc) s`,
    ...(msMax !== undefined && { query_timeout: msMax }),
  }
  const { rows } = await db.query<NullableRow>(query)
  const row = rows.find(({ part }) => part === 'config')
  const settings = rows
    .filter(({ part }) => part === 'setting')
    .map(({ version, key, text, author, reason, createdAt }) => {
      return { version, key, text: text ?? undefined, author, reason, createdAt }
    })
  return {
    config: row === undefined ? undefined : { ...configOf({ ...row, digest: row.key }), text: row.text ?? '' },
    settings,
    settingsVersion: settings.reduce((latest, { version }) => Math.max(latest, version), 0),
  }
}

interface NullableRow {
  part: 'config' | 'setting'
  version: number
  key: string
  text: string | null
  author: string
  reason: string
  createdAt: Date
  parent: number
  rollbackOf: number | null
}

export function configOf(row: Omit<ConfigRow, 'rollbackOf'> & { rollbackOf: number | null }): ConfigRow {
  const { version, digest, author, reason, createdAt, parent, rollbackOf } = row
  return { version, digest, author, reason, createdAt, parent, rollbackOf: rollbackOf ?? undefined }
}

export interface UsableConfig {
  document: RouterDocument
  digest: string
}

/** The document of a stored text, or what keeps this release from using it. */
export function usableConfig(stored: {
  text: string
  digest: string
}): UsableConfig | { problems: readonly ConfigProblem[] } {
  const parsed = parseRouterConfig(stored.text)
  if (!parsed.ok) return { problems: parsed.problems }
  if (parsed.digest !== stored.digest) return { problems: [{ path: '', message: 'is not what its digest says' }] }
  return { document: parsed.document, digest: parsed.digest }
}

export interface UsableSettings {
  values: StoredSettings
  problems: ConfigProblem[]
}

/** Values by key; what this release cannot use is `invalid`, and keys that it does not know are only reported. */
export function usableSettings(rows: readonly SettingRow[]): UsableSettings {
  const values = new Map<string, { value: unknown } | 'invalid'>()
  const problems: ConfigProblem[] = []
  for (const { key, text } of rows) {
    if (text === undefined) continue
    const read = readSetting(key, text)
    problems.push(...read.problems)
    if (isSettingName(key)) values.set(key, read.problems.length > 0 ? 'invalid' : { value: read.value })
  }
  return { values, problems }
}

function readSetting(key: string, text: string): { value?: unknown; problems: readonly ConfigProblem[] } {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { problems: [{ path: key, message: 'is not JSON' }] }
  }
  return { value, problems: settingProblems(key, value) }
}

/** Only one process writes at a time, until the end of the transaction: versions have no gap and no two parents. */
export async function lockState(tx: Tx): Promise<void> {
  await tx.query('select pg_advisory_xact_lock(hashtext($1))', [LOCK])
}

export async function insertConfig(
  tx: Tx,
  row: { parent: number; text: string; digest: string; author: string; reason: string; rollbackOf: number | undefined },
): Promise<ConfigRow> {
  const { rows } = await tx.query<ConfigRow & { rollbackOf: number | null }>(
    `insert into router_config (version, config, digest, author, reason, parent, rollback_of)
     values ($1::int8 + 1, $2, $3, $4, $5, $1, $6) returning ${configColumns}`,
    [row.parent, row.text, row.digest, row.author, row.reason, row.rollbackOf ?? null],
  )
  const [written] = rows
  assert(written !== undefined, 'an insert returns its row')
  return configOf(written)
}

/** Writes these values, `undefined` as a removal, under the versions after `last`. Returns the last one. */
export async function insertSettings(
  tx: Tx,
  last: number,
  values: ReadonlyMap<string, string | undefined>,
  by: { author: string; reason: string },
): Promise<number> {
  if (values.size === 0) return last
  await tx.query(
    `insert into setting (version, key, value, author, reason)
     select $1::int8 + n, key, value, $4, $5 from unnest($2::text[], $3::text[]) with ordinality as u (key, value, n)`,
    [last, [...values.keys()], [...values.values()].map((text) => text ?? null), by.author, by.reason],
  )
  return last + values.size
}

/** Reaches the listeners when the transaction commits. */
export async function notifyState(tx: Tx, written: WrittenState): Promise<void> {
  await tx.query('select pg_notify($1, $2)', [ROUTER_CHANNEL, `${written.config},${written.settings}`])
}

/** `"<version>-<16 hex digits>"`: the digits tell versions apart that a restored backup has counted twice. */
export function etagOf(config: { version: number; digest: string } | undefined): string {
  if (config === undefined) return '"0"'
  const digest = createHash('sha256').update(`${config.version} ${config.digest}`).digest('hex')
  return `"${config.version}-${digest.slice(0, 16)}"`
}

/** If-Match, compared strongly: `*` matches what exists, a weak tag nothing. */
export function matchesEtag(ifMatch: string | undefined, etag: string): boolean {
  if (ifMatch === undefined) return true
  const tags = ifMatch.split(',').map((tag) => tag.trim())
  return tags.includes(etag) || (tags.includes('*') && etag !== etagOf(undefined))
}

/** What tells one stored state from another. */
export interface StoredVersions {
  config: number
  digest: string | undefined
  settings: number
}

export async function readVersions(db: Db, msMax: number): Promise<StoredVersions> {
  const query = {
    text: `select coalesce(c.version, 0)::float8 as config, c.digest, coalesce(s.version, 0)::float8 as settings
           from (select 1) one
           left join (select version, digest from router_config order by version desc limit 1) c on true
           left join (select version from setting order by version desc limit 1) s on true`,
    query_timeout: msMax,
  }
  const { rows } = await db.query<Omit<StoredVersions, 'digest'> & { digest: string | null }>(query)
  const [row] = rows
  assert(row !== undefined, 'a left join of one row gives one row')
  return { ...row, digest: row.digest ?? undefined }
}

const OLDER_MAX = 5

/** The few versions before this one, newest first. */
export async function readOlderConfigs(
  db: Db,
  before: number,
  msMax: number,
): Promise<(ConfigRow & { text: string })[]> {
  const query = {
    text: `select ${configColumns}, config as text from router_config where version < $1 order by version desc limit $2`,
    values: [before, OLDER_MAX],
    query_timeout: msMax,
  }
  const { rows } = await db.query<ConfigRow & { rollbackOf: number | null; text: string }>(query)
  return rows.map((row) => ({ ...configOf(row), text: row.text }))
}
