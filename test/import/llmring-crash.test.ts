// A copy that is killed at any moment, beside an old server that goes on writing.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createWorld, snapshot, type World } from '#test/import/llmring-world.ts'

const ROWS = 10_000
const KILLS = 4

const worlds: World[] = []
after(async () => {
  for (const world of worlds) await world.close()
})

async function busyWorld(inPlace: boolean, rows: number): Promise<World> {
  const world = await createWorld('pre', { inPlace })
  worlds.push(world)
  await world.source.db.query(
    `insert into llmring.usage_logs (api_key_id, model, provider, input_tokens, output_tokens, cached_input_tokens, cost, created_at, alias, profile)
     select 'key-of-team-' || n % 20, 'model-' || n % 7, 'openai', n % 4000, n % 500, n % 5000, (n % 1000) / 1e6,
            timestamp '2025-07-01' + n * interval '11 seconds', 'alias ' || n % 5, case when n % 3 = 0 then 'prod' else 'default' end
     from generate_series(1, $1) n`,
    [rows],
  )
  return world
}

/** Runs one phase in a process of its own. `kill` is called with every line that it tells. */
async function inProcess(world: World, words: string[], onLine: (kill: () => void) => void) {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('../../src/main.ts', import.meta.url)), 'import', 'llmring', ...words],
    {
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: world.target.url,
        FLUXGATE_ADMIN_KEY: 'the-admin-key-of-the-tests',
        RECEIPT_SIGNING_KEY: randomBytes(32).toString('base64'),
        LLM_ROUTER_MASTER_KEY: randomBytes(32).toString('base64'),
        DATA_DIR: world.folder,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
    for (const _ of text.matchAll(/copied \d+ rows/g)) onLine(() => child.kill('SIGKILL'))
  })
  child.stdout.resume()
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (...ended) => resolve(ended)),
  )
  return { code, signal, err }
}

/** Again while the server still ends the session of a process that was killed. */
async function afterKill<T>(work: () => Promise<T>, isBusy: (result: T) => boolean): Promise<T> {
  const lateAt = performance.now() + 20_000
  for (;;) {
    const result = await work()
    if (!isBusy(result)) return result
    assert(performance.now() < lateAt, 'the lock of a killed process was not freed')
  }
}

test(`${ROWS} rows, ${KILLS} kills, an old server that writes on: nothing is lost and nothing is there twice`, async () => {
  const world = await busyWorld(true, ROWS)
  const { db } = world.target
  let writing = true
  let written = 0
  const writer = (async () => {
    while (writing) {
      await db.query(
        `insert into llmring.usage_logs (api_key_id, model, provider, input_tokens, output_tokens, cost, alias)
         values ('key-of-team-' || $1::int % 23, 'late', 'openai', 1, 1, 0.00000001, 'late')`,
        [written],
      )
      written += 1
    }
  })()
  await world.report('plan')
  await world.report('expand')
  for (let kills = 0; kills < KILLS; kills += 1) {
    let lines = 0
    const run = () =>
      inProcess(world, ['backfill', '--batch-rows', '500'], (kill) => {
        lines += 1
        // The line is told after a commit, so the next batch is under way.
        if (lines > kills) kill()
      })
    const { signal, err } = await afterKill(run, (result) => result.err.includes('another import is running'))
    assert.equal(signal, 'SIGKILL', err)
  }
  const { rows: halfway } = await db.query<{ n: number }>('select count(*)::int as n from reported_log')
  assert(
    halfway[0] !== undefined && halfway[0].n > 0 && halfway[0].n < ROWS,
    `${halfway[0]?.n} rows when it was killed last`,
  )

  await afterKill(
    () => world.run('backfill'),
    ({ err }) => err.includes('another import is running'),
  )
  writing = false
  await writer
  assert(written > 0)
  // What came in behind the copy is told apart, and everything else agrees to the last digit.
  const { out } = await world.run('verify', '--json')
  const wrong = (JSON.parse(out) as { checks: { ok: boolean; name: string }[] }).checks.filter(({ ok }) => !ok)
  assert(
    wrong.every(({ name }) => name.startsWith('rows of the source that are not here')),
    JSON.stringify(wrong),
  )
  await world.report('backfill')
  await world.report('verify')
  await world.report('switch')
  const verified = await world.report('verify')
  assert.equal(verified.checks.find(({ name }) => name === 'rows')?.found, String(ROWS + written))
  const before = await snapshot(db)
  await world.report('backfill')
  assert.deepEqual(await snapshot(db), before)
})

test('100,000 rows in batches of 10,000', async () => {
  const world = await busyWorld(false, 100_000)
  await world.report('backfill', '--batch-rows', '10000')
  const verified = await world.report('verify')
  assert.deepEqual(
    verified.checks.find(({ name }) => name === 'sum(cost)'),
    { name: 'sum(cost)', expected: '49.95', found: '49.95', ok: true },
  )
  // Nothing is new, so that a later pass reads ids only.
  assert.equal((await world.report('backfill')).figure('rows of usage copied by this run'), '0')
})

test('only one import runs at a time on a database', async () => {
  const world = await busyWorld(false, 1)
  const holder = await world.target.db.connect()
  await holder.query(`select pg_advisory_lock(hashtext('fluxgate import'))`)
  assert.match(await world.refused('plan'), /another import is running/)
  holder.release(true)
})

test('a copy that goes wrong in the middle of a batch leaves nothing of that batch', async () => {
  const world = await busyWorld(false, 1_000)
  await world.target.db.query(
    `create function fluxgate.refuse() returns trigger language plpgsql as $$
     begin if new.model = 'model-6' and new.input_tokens = 503 then raise exception 'no room'; end if; return new; end $$;
     create trigger refuse before insert on fluxgate.reported_log for each row execute function fluxgate.refuse()`,
  )
  assert.match(await world.refused('backfill', '--batch-rows', '100'), /no room/)
  await world.target.db.query('drop trigger refuse on fluxgate.reported_log; drop function fluxgate.refuse')
  await world.report('backfill', '--batch-rows', '100')
  await world.report('verify')
})

test('a copy that lost a row, counted one twice or changed a cost does not pass', async () => {
  const world = await busyWorld(false, 500)
  const { db } = world.target
  await world.report('backfill')
  await world.report('verify')
  const spoilt = async (sql: string, ...names: string[]) => {
    await db.query('begin')
    await db.query('alter table fluxgate.reported_log disable trigger append_only')
    await db.query(sql)
    await db.query('alter table fluxgate.reported_log enable trigger append_only')
    await db.query('commit')
    const { code, out } = await world.run('verify', '--json')
    assert.equal(code, 1)
    const wrong = (JSON.parse(out) as { checks: { ok: boolean; name: string }[] }).checks
      .filter(({ ok }) => !ok)
      .map(({ name }) => name)
    for (const name of names)
      assert(
        wrong.some((one) => one.includes(name)),
        `${name} is not among ${wrong}`,
      )
  }
  await spoilt(
    `update fluxgate.reported_log set model = 'other' where id = (select min(id::text)::uuid from fluxgate.reported_log)`,
    'checksum',
    'invariants',
  )
  await spoilt(
    `update fluxgate.reported_log set reported_cost = reported_cost + 0.00000001 where id = (select max(id::text)::uuid from fluxgate.reported_log)`,
    'sum(cost)',
    'groups by project and UTC day',
  )
  await spoilt(
    `update fluxgate.reported_log set alias_name = null where id = (select max(id::text)::uuid from fluxgate.reported_log)`,
    'rows with an alias',
    'groups by project, alias',
  )
  await spoilt(
    `delete from fluxgate.reported_log where id = (select max(id::text)::uuid from fluxgate.reported_log)`,
    'rows',
    'not here',
  )
})
