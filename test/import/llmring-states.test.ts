// Every state that llmring-server left databases in, with data that is as bad as its columns allow.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readLockfile } from '#client/lockfile-text.ts'
import type { Db } from '#db/pool.ts'
import {
  createWorld,
  fingerprint,
  onConnection,
  type State,
  snapshot,
  uuidOf,
  type World,
} from '#test/import/llmring-world.ts'

const worlds: World[] = []
after(async () => {
  for (const world of worlds) await world.close()
})
async function worldOf(state: State, inPlace = false): Promise<World> {
  const world = await createWorld(state, { inPlace })
  worlds.push(world)
  return world
}

const PUBLIC_KEY = 'A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg'
const headers = ['plain-key-of-a-team', `odd'"\\key;--{},$1`, 'k'.repeat(255), 'two words', 'ключ', ' ']
const aliases = ['summarizer', `it's "quoted" \\ {a,b} %s $1`, 'résumé 模型 😀', 'a'.repeat(128), '', '  ', null]
const times = [
  '2025-03-30 01:59:59.999999',
  '2025-03-30 02:30:00', // Madrid has no such time.
  '2025-10-26 02:30:00', // Madrid has this one twice.
  '2025-12-31 23:59:59.999999',
  '2024-02-29 00:00:00',
]

/** One row for each combination of a header, an alias and a time, then rows that no table of ours can hold. */
async function insertUsage(db: Db, columns: { header: string; withProfile: boolean }): Promise<number> {
  let rows = 0
  const insert = async (row: Record<string, unknown>) => {
    const all: Record<string, unknown> = {
      id: uuidOf(`row ${rows}`),
      model: 'gpt-4o-mini',
      provider: 'openai',
      input_tokens: 1000 + rows,
      output_tokens: 200,
      cached_input_tokens: 400,
      cost: '0.00024000',
      created_at: times[rows % times.length],
      ...row,
    }
    if (!columns.withProfile) delete all.profile
    const names = Object.keys(all)
    await db.query(
      `insert into llmring.usage_logs (${names.join(', ')}) values (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
      Object.values(all),
    )
    rows += 1
  }
  for (const header of headers)
    for (const alias of aliases)
      await insert({ [columns.header]: header, alias, profile: rows % 3 === 0 ? 'prod' : 'default' })
  const bad: Record<string, unknown>[] = [
    { input_tokens: -5, cost: '-0.00000075' },
    { cached_input_tokens: 4000, input_tokens: 1000, cost: '-0.00033000' },
    { cached_input_tokens: 4000, input_tokens: 1000, cost: '0.00100000' },
    { cost: '99.99999999' },
    { cost: 0 },
    { created_at: null },
    { created_at: 'infinity' },
    { model: '' },
    { provider: '' },
    { metadata: JSON.stringify('{"wrapped": true}') },
    { metadata: null },
    { metadata: JSON.stringify({ conversation_id: 'x', deep: [1, { a: 'é\n"' }] }) },
    { metadata: '[1]' },
    { metadata: JSON.stringify({ text: 'x'.repeat(70_000) }) },
    { latency_ms: -1, origin: '', id_at_origin: 'o'.repeat(255) },
    { input_tokens: 2_147_483_647, output_tokens: 2_147_483_647 },
  ]
  for (const row of bad) await insert({ [columns.header]: headers[0], alias: 'bad', profile: null, ...row })
  return rows
}

/** Every phase that a state has, twice; everything that must hold at the end. */
async function importAll(world: World, rows: number, ...words: string[]): Promise<void> {
  await world.report('plan', '--lockfiles', world.folder, ...words)
  await world.report('backfill', '--batch-rows', '7', ...words)
  const before = await snapshot(world.target.db)
  await world.report('backfill', '--batch-rows', '7', ...words)
  assert.deepEqual(await snapshot(world.target.db), before)
  const verified = await world.report('verify', ...words)
  assert.equal(verified.checks.find(({ name }) => name === 'rows')?.found, String(rows))
  await world.report('switch', ...words)
  await world.report('verify', ...words)
  await world.report('switch', ...words)
  await world.report('verify', ...words)
}

async function reasons(db: Db): Promise<Record<string, number>> {
  const { rows } = await db.query<{ reason: string; n: number }>(
    `select reason, count(*)::int as n from import_quarantine group by 1
     union all select what, count(*)::int from import_repair group by 1 order by 1`,
  )
  return Object.fromEntries(rows.map(({ reason, n }) => [reason, n]))
}

const badRows = {
  cached_exceeds_input: 1,
  cost_negative: 1,
  latency_negative: 1,
  metadata_not_an_object: 1,
  metadata_too_large: 1,
  model_missing: 1,
  time_missing: 1,
  time_out_of_range: 1,
  tokens_negative: 1,
}

for (const state of ['pre', 'seed', 'first'] as const) {
  test(`${state}: raw headers, labels as texts, times without a zone`, async () => {
    const world = await worldOf(state)
    const { db } = world.source
    const rows = await insertUsage(db, { header: 'api_key_id', withProfile: state !== 'first' })
    if (state !== 'seed') await insertAliases(db, state === 'pre')
    const zone = ['--source-timezone', 'Europe/Madrid']

    const plan = await world.report('plan', ...zone)
    assert.equal(plan.figure('state of the source'), state === 'seed' ? 'SEED' : 'PRE')
    assert.equal(plan.figure('rows'), String(rows))
    assert(Number(plan.figure('times that the zone has twice or never')) > 0)
    assert.equal(plan.figure('costs at the ceiling of the column, 99.99999999'), '1')
    assert.equal(plan.figure('keys that cannot be carried: has_white_space'), '1')
    assert.equal(plan.figure('keys that cannot be carried: not_visible_ascii'), '1')
    await importAll(world, rows, ...zone)
    assert.deepEqual(await reasons(world.target.db), badRows)

    const ours = world.target.db
    const { rows: moments } = await ours.query<{ at: string }>(
      `select distinct occurred_at::text as at from reported_log order by 1`,
    )
    assert.deepEqual(
      moments.map(({ at }) => at),
      [
        '2024-02-28 23:00:00+00',
        '2025-03-30 00:59:59.999999+00',
        '2025-03-30 01:30:00+00',
        '2025-10-26 01:30:00+00',
        '2025-12-31 22:59:59.999999+00',
      ],
    )
    const { rows: keys } = await ours.query<{ hash: Buffer; name: string }>(
      'select k.hash, p.name from api_key k join project p on p.id = k.project_id',
    )
    assert.deepEqual(
      keys.map(({ hash, name }) => [hash.toString('hex'), name]).toSorted(),
      [...headers.slice(0, 3), ...(state === 'seed' ? [] : ['nobody-else'])]
        .map((header) => [sha256(header), `llmring-${fingerprint(header)}`])
        .toSorted(),
    )
    const { rows: labels } = await ours.query<{ alias: string }>(
      `select distinct alias_name as alias from reported_log where alias_name is not null`,
    )
    assert.deepEqual(
      labels.map(({ alias }) => alias).toSorted(),
      ['bad', ...aliases.filter((one) => (one ?? '').trim() !== '')].toSorted(),
    )
    await expectNoSecret(world)
  })
}

async function insertAliases(db: Db, withProfile: boolean): Promise<void> {
  const bindings = [
    [headers[0], 'default', 'summarizer', 'openai:gpt-4o-mini'],
    [headers[0], 'prod', 'summarizer', 'openai:gpt-4o,anthropic:claude-sonnet-4-5'],
    [headers[1], 'default', 'summarizer', 'gpt-4o'],
    [headers[1], `p'"\n`, `a "quoted" \\ 模型`, 'openai:o"1'],
    [headers[2], 'default', 'openai:gpt', 'openai:gpt-4o'],
    [headers[2], 'default', '', 'openai:gpt-4o'],
    ['nobody-else', 'default', 'x'.repeat(64), `openai:${'m'.repeat(240)}`],
  ] as const
  for (const [owner, profile, alias, model] of bindings) {
    if (withProfile)
      await db.query('insert into llmring.aliases (project_id, profile, alias, model) values ($1, $2, $3, $4)', [
        owner,
        profile,
        alias,
        model,
      ])
    else if (profile !== 'prod')
      await db.query('insert into llmring.aliases (project_id, alias, model) values ($1, $2, $3)', [
        owner,
        alias,
        model,
      ])
  }
}

test('every binding reads back from the lockfiles, whatever stands in it', async () => {
  const world = await worldOf('pre')
  await insertAliases(world.source.db, true)
  await world.source.db.query(
    `insert into llmring.aliases (project_id, profile, alias, model)
     select 'big', 'profile ' || n % 150, 'alias ' || n, 'openai:gpt-4o' from generate_series(1, 4000) n
     union all select 'big', 'default', 'more ' || n, 'openai:gpt-4o' from generate_series(1, 1500) n`,
  )
  const plan = await world.report('plan', '--lockfiles', world.folder)
  assert.equal(plan.figure('alias bindings exported'), '5507')
  assert(plan.notes.some((note) => note.includes('begins with the name of a provider')))
  const found: string[] = []
  for (const name of (await readdir(world.folder)).filter((file) => file.endsWith('.lock'))) {
    const lockfile = readLockfile(await readFile(join(world.folder, name), 'utf8'), 'toml')
    for (const [profile, { bindings }] of Object.entries(lockfile.profiles))
      for (const { alias, models } of bindings)
        found.push(JSON.stringify([name.slice(8, 20), profile, alias, models.join(',')]))
  }
  const { rows } = await world.source.db.query<{ project_id: string; profile: string; alias: string; model: string }>(
    'select project_id, profile, alias, model from llmring.aliases',
  )
  assert.deepEqual(
    found.toSorted(),
    rows.map((one) => JSON.stringify([fingerprint(one.project_id), one.profile, one.alias, one.model])).toSorted(),
  )
  const lines = (await readFile(join(world.folder, 'llmring-bindings.ndjson'), 'utf8')).trim().split('\n')
  assert.equal(lines.length, rows.length)
})

test('oct: receipts keep the bytes that were signed, whatever zone they were stored in', async () => {
  const world = await worldOf('oct')
  const { db } = world.source
  const rows = await insertUsage(db, { header: 'api_key_id', withProfile: true })
  await db.query(
    `insert into llmring.usage_logs (model, provider, input_tokens, output_tokens, cost) values ('m', 'p', 1, 1, 0.1)`,
  )
  const receipt = (id: string, at: string, cost: object, signature: string, alias: string) =>
    db.query(
      `insert into llmring.receipts (receipt_id, api_key_id, alias, model, provider, profile, registry_version, lock_digest, tokens, cost,
         signature, receipt_timestamp, description, tags)
       values ($1, $2, $3, 'gpt-4o-mini', 'openai', 'prod', 'v1', 'abc123', '{"input": 1000, "output": 200, "cached_input": 0}', $4, $5, $6, 'monthly', '["a"]')`,
      [id, headers[0], alias, JSON.stringify(cost), signature, at],
    )
  const first = 'ed25519:TkhiV-vq57E_MCVz2kW-r7Y_7CjoybHMMiP1EzWR5HL_NWQWe0RlGCdfkOGfmU0cE6e3jfTsBkcxBCh3ylfoAQ'
  const second = 'ed25519:CyLMG454FjJmO_ge8-aRxcKvvXgN3RDylmJd6kNP_5v2Hv7RxwtDxe33ysMWL4lERGZh70GbOWaPbo-_mrKZBQ'
  // Stored by a server in Madrid, two hours off.
  await receipt(
    'rcpt_test0001',
    '2025-10-03T14:00:00Z',
    { input: 0.00015, output: 0.00012, total: 0.00027 },
    first,
    'summarizer',
  )
  await receipt(
    'rcpt_test0002',
    '2025-10-03T12:00:00.123456Z',
    { input: 0.000023, output: 1e-7, total: 0.0000231 },
    second,
    'résumé',
  )
  await receipt('rcpt_forged', '2025-10-03T12:00:00Z', { input: 1, output: 1, total: 2 }, first, 'summarizer')
  await db.query(`insert into llmring.receipt_logs values ('rcpt_test0001', $1, 'usage', '2025-10-03')`, [
    uuidOf('row 1'),
  ])

  assert.match(await world.refused('backfill'), /--receipt-public-key/)
  await importAll(world, rows + 1, '--receipt-public-key', PUBLIC_KEY)
  const { rows: receipts } = await world.target.db.query<Record<string, string>>(
    'select receipt_id, payload, signature, key_id, unsigned, alias_name, model_used, issued_at::text as at from legacy_receipt order by 1',
  )
  assert.deepEqual(
    receipts.map(({ receipt_id, key_id, signature }) => [receipt_id, key_id, signature]),
    [
      ['rcpt_forged', null, first],
      ['rcpt_test0001', 'key_b43cdfe1bf180ef4', first],
      ['rcpt_test0002', 'key_b43cdfe1bf180ef4', second],
    ],
  )
  assert.equal(
    createHash('sha256')
      .update(receipts[1]?.payload ?? '')
      .digest('hex'),
    'a7ec112b1043d7e5c6b5f6c5d469b1f9b68816defe5a7a9dde5cfbe0821f5611',
  )
  const unsigned = JSON.parse(receipts[1]?.unsigned ?? '{}')
  assert.deepEqual([unsigned.description, unsigned.tags, unsigned.logs[0].log_id], ['monthly', ['a'], uuidOf('row 1')])
  assert.equal((await world.target.db.query(`select 1 from project where name = 'llmring-unattributed'`)).rowCount, 1)
  await expectNoSecret(world)
})

test('head: usage of users belongs to their project', async () => {
  const world = await worldOf('head')
  const rows = await insertUsage(world.source.db, { header: 'api_key_id', withProfile: true })
  await world.source.db.query(
    `insert into llmring.usage_logs (project_id, api_key_id, model, provider, input_tokens, output_tokens, cost)
     select $1::uuid, null, 'm', 'p', 1, 1, 0.1 from generate_series(1, 10) union all select $1::uuid, 'only-in-that-project', 'm', 'p', 1, 1, 0.1`,
    [uuidOf('project')],
  )
  await importAll(world, rows + 11)
  const { rows: projects } = await world.target.db.query(
    `select count(*)::int as n, count(distinct key_id)::int as keys from reported_log l join project p on p.id = l.project_id where p.name = $1`,
    [`llmring-${fingerprint(uuidOf('project'))}`],
  )
  assert.deepEqual(projects, [{ n: 11, keys: 2 }])
})

test('head: conversations without what was said, unless it is asked for', async () => {
  for (const words of [[], ['--with-content']]) {
    const world = await worldOf('head')
    const { db } = world.source
    await db.query(
      `insert into llmring.conversations (id, api_key_id, title, system_prompt, model_alias, message_count, total_input_tokens, created_at)
       select md5('c' || n)::uuid, $1, 'title ' || n, 'be brief', 'alias ' || n, 5, 50, '2025-11-01' from generate_series(1, 20) n`,
      [headers[0]],
    )
    await db.query(
      `insert into llmring.messages (id, conversation_id, role, content, tool_calls, input_tokens, timestamp)
       select md5('m' || n || '/' || k)::uuid, md5('c' || n)::uuid, 'user', 'said ' || k || ' "so" 模型', '[{"a": 1.50}]', 10, timestamptz '2025-11-01' + k * interval '1 second'
       from generate_series(1, 20) n, generate_series(1, 5) k`,
    )
    await importAll(world, 0, ...words)
    const { rows } = await world.target.db.query(
      `select count(*)::int as n, count(title)::int as titles, sum(message_count)::int as messages, min(alias_name) as alias from conversation`,
    )
    assert.deepEqual(rows, [{ n: 20, titles: words.length * 20, messages: 100, alias: 'alias 1' }])
    const { rows: said } = await world.target.db.query(
      `select position::int, content, tool_calls from conversation_message where conversation_id = md5('c7')::uuid order by position`,
    )
    assert.deepEqual(
      said,
      words.length === 0
        ? []
        : [1, 2, 3, 4, 5].map((k) => ({
            position: k,
            content: JSON.stringify(`said ${k} "so" 模型`),
            tool_calls: '[{"a":1.5}]',
          })),
    )
  }
})

test('b-loose: numbers as ids, no foreign keys, dangling ids, hashes of keys, costs in floating point', async () => {
  const world = await worldOf('b-loose')
  await onConnection(
    world.source.db,
    `set search_path = llmring;
     insert into projects select from generate_series(1, 2);
     insert into api_keys (project_id, key_hash, revoked_at) values (1, '${sha256('live-key-of-one')}', null), (2, '${sha256('ended-key')}', now()), (2, 'bcrypt', null);
     insert into aliases (project_id, profile, alias, model) values (1, 'prod', 'deep', 'openai:o1'), (2, null, 'deep', 'openai:o3');
     insert into usage_logs (api_key_id, alias_id, model, input_tokens, output_tokens, cached_tokens, cost, metadata, timestamp)
       select 1 + n % 2, 1 + n % 4, 'openai:o1', n, 5, null, 0.1 + n / 3.0, case when n % 5 = 0 then 'no json' end, timestamp '2025-06-01' + n * interval '1 minute'
       from generate_series(1, 300) n;
     insert into usage_logs (api_key_id, model, input_tokens, output_tokens, cost, timestamp) values (1, 'm', null, 5, 'NaN', now()), (1, 'm', 1, 5, null, now()),
       (1, 'm', 9223372036854775807, 5, 1, now()), (99, 'm', 1, 1, 0, now())`,
  )
  const plan = await world.report('plan')
  assert.equal(plan.figure('rows whose alias_id leads nowhere, kept without an alias'), '150')
  assert.equal(plan.figure('keys that cannot be carried: ended_in_source'), '1')
  assert.equal(plan.figure('keys that cannot be carried: neither the key nor its SHA-256 is stored'), '1')
  assert(plan.notes.some((note) => note.includes('cannot be recovered')))
  await importAll(world, 304)
  const { rows } = await world.target.db.query(
    `select alias_name as alias, profile, count(*)::int as n from reported_log group by 1, 2 order by 1, 2`,
  )
  assert.deepEqual(rows, [
    { alias: 'deep', profile: 'default', n: 75 },
    { alias: 'deep', profile: 'prod', n: 75 },
    { alias: null, profile: 'default', n: 152 },
  ])
})

test('what is no llmring-server is refused with what was found', async () => {
  const world = await worldOf('pre')
  const { db } = world.source
  assert.match(await world.refused('plan', '--schema', 'public'), /no table in the schema 'public'.*llmring/)
  assert.match(await world.refused('plan', '--source-timezone', 'Mars/Base'), /no time zone/)
  await db.query('alter table llmring.usage_logs rename column cost to price')
  assert.match(
    await world.refused('plan'),
    /usage_logs has no column for its cost.*Found:\n.*aliases\(.*price numeric/s,
  )
  await db.query('drop table llmring.usage_logs')
  assert.match(await world.refused('backfill'), /there is no table usage_logs/)
  await onConnection(db, 'create schema other; create table other.usage_logs as select 1 as id')
  assert.match(await world.refused('plan', '--schema', 'other'), /is not one of llmring-server/)
  assert.equal((await world.target.db.query('select 1 from import_run')).rowCount, 0)
})

test('a name stands for one source and one zone', async () => {
  const world = await worldOf('pre')
  await world.report('plan')
  assert.match(await world.refused('plan', '--source-timezone', 'Asia/Tokyo'), /reads times without a zone as UTC/)
  const other = await worldOf('pre')
  const elsewhere = ['--source', other.source.url]
  assert.match(await world.refused('backfill', ...elsewhere), /begun from another source.*--source-moved/)
  await world.report('plan', ...elsewhere, '--name', 'second')
  await world.report('plan', ...elsewhere, '--source-moved')
  assert.match(await world.refused('verify', ...elsewhere), /needs backfill/)
  assert.match(await world.refused('plan', '--name', 'Bad Name'), /lower-case/)
})

test('a header that is accepted here already keeps its project, and the history joins it', async () => {
  const world = await worldOf('pre')
  const { db } = world.target
  const rows = await insertUsage(world.source.db, { header: 'api_key_id', withProfile: true })
  await db.query(`with w as (insert into wallet (account) values ('acc_' || repeat('0', 32)) returning id)
    insert into project (id, name, wallet_id) select 'prj_abcdefghijklmnopqrst', 'mine', id from w`)
  await db.query(
    `insert into api_key (id, project_id, name, hash, hint) values ('key_abcdefghijklmnopqrst', 'prj_abcdefghijklmnopqrst', 'mine', sha256($1), 'team')`,
    [Buffer.from(headers[0] ?? '')],
  )
  await importAll(world, rows)
  const { rows: found } = await db.query(
    `select count(*) > 0 as any, bool_and(key_id = 'key_abcdefghijklmnopqrst') as all from reported_log where project_id = 'prj_abcdefghijklmnopqrst'`,
  )
  assert.deepEqual(found, [{ any: true, all: true }])
})

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** No header of the source stands in any text of ours, nor in a file. */
async function expectNoSecret(world: World): Promise<void> {
  const { rows: tables } = await world.target.db.query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'fluxgate'`,
  )
  for (const { name } of tables) {
    const { rows } = await world.target.db.query<{ n: bigint }>(
      `select count(*) as n from fluxgate.${name} t where position($1 in t::text) > 0 or position($2 in t::text) > 0`,
      [headers[0], headers[2]],
    )
    assert.equal(rows[0]?.n, 0n, name)
  }
  for (const file of await readdir(world.folder))
    assert(!`${file} ${await readFile(join(world.folder, file), 'utf8')}`.includes(headers[0] ?? ''), file)
}
