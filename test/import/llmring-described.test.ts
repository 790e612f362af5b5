// The schema that the refactoring request describes, with its figures: two projects, four aliases, 1002 calls, $0.272.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readLockfile } from '#client/lockfile-text.ts'
import { createWorld, fingerprint, snapshot, uuidOf, type World } from '#test/import/llmring-world.ts'

const worlds: World[] = []
after(async () => {
  for (const world of worlds) await world.close()
})

const [projectA, projectB] = [uuidOf('proj_a'), uuidOf('proj_b')]
const [keyA, keyB] = ['llmr_pk_0123456789abcdef0123456789abcdef', 'llmr_pk_fedcba9876543210fedcba9876543210']
const aliases = [
  [projectA, 'default', 'summarizer', 'openai:gpt-4o-mini'],
  [projectA, 'prod', 'summarizer', 'anthropic:claude-sonnet-4-5'],
  [projectA, 'default', 'deep', 'anthropic:claude-opus-4'],
  [projectB, 'default', 'summarizer', 'openai:gpt-4o'],
] as const

async function describedWorld(inPlace: boolean): Promise<World> {
  const world = await createWorld('b', { inPlace })
  worlds.push(world)
  const { db } = world.source
  await db.query(`insert into llmring.projects (id, name) values ($1, 'proj_a'), ($2, 'proj_b')`, [projectA, projectB])
  await db.query('insert into llmring.api_keys (id, project_id, key) values ($1, $2, $3), ($4, $5, $6)', [
    uuidOf('key a'),
    projectA,
    keyA,
    uuidOf('key b'),
    projectB,
    keyB,
  ])
  for (const [project, profile, alias, model] of aliases) {
    const id = uuidOf(`${project} ${profile} ${alias}`)
    await db.query('insert into llmring.aliases (id, project_id, profile, alias, model) values ($1, $2, $3, $4, $5)', [
      id,
      project,
      profile,
      alias,
      model,
    ])
    await db.query(
      `insert into llmring.usage_logs (project_id, api_key_id, alias_id, model, provider, input_tokens, output_tokens, cost, created_at)
       select $1, $2, $3, $4, $5, 1000, 200, 0.00027, timestamp '2025-08-01' + n * interval '37 minutes' from generate_series(1, 250) n`,
      [project, uuidOf(project === projectA ? 'key a' : 'key b'), id, model.split(':')[1], model.split(':')[0]],
    )
    await db.query(
      `insert into llmring.receipts (receipt_id, project_id, alias_id, model, tokens, cost, signature, receipt_timestamp)
       values ($1, $2, $3, $4, '{"input": 1000, "output": 200}', '{"input": 0.00015, "output": 0.00012, "total": 0.00027}', 'ed25519:none', '2025-08-01')`,
      [`rcpt_${id.slice(0, 8)}`, project, id, model],
    )
  }
  for (const project of [projectA, projectB])
    await db.query(
      `insert into llmring.usage_logs (project_id, model, provider, input_tokens, output_tokens, cost)
       values ($1, 'gpt-4o-mini', 'openai', 4000, 600, 0.001)`,
      [project],
    )
  return world
}

const perAlias = `
  select p.name as project, l.alias_name as alias, l.profile, count(*)::int as n from reported_log l join project p on p.id = l.project_id
  group by 1, 2, 3 order by 1, 2 nulls last, 3`

const expected = (deep: number) => [
  { project: 'proj_a', alias: 'deep', profile: 'default', n: deep },
  { project: 'proj_a', alias: 'summarizer', profile: 'default', n: 250 },
  { project: 'proj_a', alias: 'summarizer', profile: 'prod', n: 250 },
  { project: 'proj_a', alias: null, profile: 'default', n: 1 },
  { project: 'proj_b', alias: 'summarizer', profile: 'default', n: 250 },
  { project: 'proj_b', alias: null, profile: 'default', n: 1 },
]

test('in place, with an old server that writes on: every phase, each twice, to the point of no return', async () => {
  const world = await describedWorld(true)
  const { db } = world.target

  const plan = await world.report('plan')
  assert.equal(plan.figure('state of the source'), 'B')
  assert.equal(plan.figure('rows'), '1002')
  assert.equal(plan.figure('sum(cost)'), '0.272')
  assert.equal(plan.figure('alias bindings'), '4')
  assert.equal(plan.figure('receipts'), '4')
  assert.deepEqual([plan.figure('projects to be made'), plan.figure('keys to be made')], ['2', '2'])
  assert(plan.notes.some((note) => note.includes('--lockfiles')))

  const exported = await world.report('plan', '--lockfiles', world.folder)
  assert.equal(exported.figure('alias bindings exported'), '4')
  const file = join(world.folder, `llmring-${fingerprint(projectA)}.lock`)
  const written = await readFile(file, 'utf8')
  const lockfile = readLockfile(written, 'toml')
  assert.deepEqual(
    Object.values(lockfile.profiles).map(({ name, bindings }) => [
      name,
      bindings.map(({ alias, models }) => [alias, models]),
    ]),
    [
      [
        'default',
        [
          ['deep', ['anthropic:claude-opus-4']],
          ['summarizer', ['openai:gpt-4o-mini']],
        ],
      ],
      ['prod', [['summarizer', ['anthropic:claude-sonnet-4-5']]]],
    ],
  )
  await world.report('plan', '--lockfiles', world.folder)
  assert.equal(await readFile(file, 'utf8'), written)

  assert.match(
    await world.refused('contract', '--drop-alias-storage', '--i-have-a-backup'),
    /expand, which has not been run/,
  )
  assert.equal((await world.report('expand')).figure('rows that got their alias_name now'), '1000')
  assert.equal((await world.report('expand')).figure('rows that got their alias_name now'), '0')

  // The old server knows no alias_name.
  await db.query(
    `insert into llmring.usage_logs (project_id, api_key_id, alias_id, model, provider, input_tokens, output_tokens, cost)
     values ($1, $2, $3, 'claude-opus-4', 'anthropic', 10, 2, 0)`,
    [projectA, uuidOf('key a'), uuidOf(`${projectA} default deep`)],
  )

  assert.match(await world.refused('backfill'), /--receipt-public-key/)
  assert.equal((await world.report('backfill', '--no-receipt-keys')).figure('usage_logs: rows copied'), '1003')
  const before = await snapshot(db)
  await world.report('backfill', '--no-receipt-keys')
  assert.deepEqual(await snapshot(db), before)

  const verified = await world.report('verify')
  const check = (name: string) => verified.checks.find((one) => one.name === name)
  assert.deepEqual(check('rows'), { name: 'rows', expected: '1003', found: '1003', ok: true })
  assert.deepEqual(check('sum(cost)'), { name: 'sum(cost)', expected: '0.272', found: '0.272', ok: true })
  assert.equal(check('rows with an alias and no alias_name, in the source')?.found, '0')
  assert.equal(check('old headers that will authenticate as their project')?.found, '2')
  assert.equal(check('receipts')?.found, '4')
  assert.deepEqual((await db.query(perAlias)).rows, expected(251))

  assert.deepEqual((await db.query('select 1 from api_key')).rows, [])
  assert.match(
    await world.refused('contract', '--drop-alias-storage', '--i-have-a-backup'),
    /switch, which has not been run/,
  )
  assert.equal((await world.report('switch', '--no-receipt-keys')).figure('keys that are accepted from now on'), '2')
  assert.equal((await world.report('switch', '--no-receipt-keys')).figure('keys that are accepted from now on'), '0')
  const { rows: keys } = await db.query(
    'select p.name from api_key k join project p on p.id = k.project_id where k.hash = sha256($1)',
    [Buffer.from(keyA)],
  )
  assert.deepEqual(keys, [{ name: 'proj_a' }])
  await world.report('verify')

  const named =
    /drops these for good.*table aliases, .*table alias_sync.*column usage_logs\.alias_id.*--i-have-a-backup/
  assert.match(await world.refused('contract'), named)
  assert.match(await world.refused('contract', '--drop-alias-storage'), /--i-have-a-backup/)
  await db.query(`update llmring.aliases set model = 'openai:gpt-5' where alias = 'deep'`)
  assert.match(
    await world.refused('contract', '--drop-alias-storage', '--i-have-a-backup'),
    /--lockfiles DIR once more/,
  )
  await world.report('plan', '--lockfiles', world.folder)
  await world.report('contract', '--drop-alias-storage', '--i-have-a-backup')
  await world.report('contract')
  const { rows: left } = await db.query(
    `select table_name || '.' || column_name as name from information_schema.columns
     where table_schema = 'llmring' and (column_name in ('alias_id', 'alias') or table_name in ('aliases', 'alias_sync'))
     union all select tgname from pg_trigger where tgname like 'fluxgate%'
     union all select proname from pg_proc where proname like 'fluxgate_bridge%'`,
  )
  assert.deepEqual(left, [])

  // Everything can be run again on what is left.
  const done = await snapshot(db)
  await world.report('plan', '--lockfiles', world.folder)
  await world.report('expand')
  await world.report('backfill', '--no-receipt-keys')
  await world.report('verify')
  await world.report('switch', '--no-receipt-keys')
  assert.deepEqual(await snapshot(db), done)
  assert.deepEqual((await db.query(perAlias)).rows, expected(251))
})

test('into another database, from a role that may only read', async () => {
  const world = await describedWorld(false)
  const role = `reader_${fingerprint(world.source.name)}`
  const { db } = world.source
  await db.query(`create role ${role} login password 'reader'`)
  try {
    await db.query(`grant usage on schema llmring to ${role}; grant select on all tables in schema llmring to ${role}`)
    const url = world.source.url.replace(/\/\/[^@/]*@/, `//${role}:reader@`)
    const from = ['--source', url]
    await world.report('plan', ...from, '--lockfiles', world.folder)
    assert.match(await world.refused('expand', ...from), /its role may not/)
    await world.report('backfill', ...from, '--no-receipt-keys')
    await world.report('verify', ...from)
    await world.report('switch', ...from, '--no-receipt-keys')
    const verified = await world.report('verify', ...from)
    assert(
      verified.checks.some(
        ({ name, found }) => name === 'old headers that authenticate as their project' && found === '2',
      ),
    )
    assert.match(await world.refused('contract', ...from, '--drop-alias-storage', '--i-have-a-backup'), /in place/)
    assert.deepEqual((await world.target.db.query(perAlias)).rows, expected(250))
  } finally {
    await db.query(`drop owned by ${role}; drop role ${role}`)
  }
})
