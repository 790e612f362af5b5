import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import type { CliDeps } from '#cli/command.ts'
import { commands } from '#cli/commands.ts'
import { runCli } from '#cli/run-cli.ts'
import { createPool } from '#db/pool.ts'
import { scopeSet } from '#domain/scopes.ts'
import { parseConfig } from '#src/config.ts'
import { receiptKeyFiles } from '#src/signing-keys.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { createTestTill } from '#test/support/till.ts'

let database: TestDatabase
before(async () => {
  database = await createTestDatabase({ migrated: false })
})
after(() => database.close())

/** Runs one command line as a process would, on the database of this file. */
async function fluxgate(words: string[], change: Partial<CliDeps> = {}) {
  const [out, err] = [new PassThrough(), new PassThrough()]
  let closed = 0
  const deps: CliDeps = {
    out,
    err,
    stdin: Readable.from([]),
    async openDatabase() {
      const db = createPool({ connection: database.connection, poolMax: 3 }, () => undefined)
      return {
        db,
        async close() {
          closed += 1
          await db.end()
        },
      }
    },
    serve: async () => 42,
    envelopeKeys: () => assert.fail('no command of this file looks at provider keys'),
    priceBook: () => assert.fail('no command of this file looks at prices'),
    receiptKeys: receiptKeyFiles(parseConfig({})),
    checkWebhookUrl: () => undefined,
    providerKeys: {},
    fluxNanousd: 1_000_000n,
    ...change,
  }
  const code = await runCli(deps, words)
  out.end()
  err.end()
  return { code, out: await text(out), err: await text(err), closed }
}

const json = async (...words: string[]) => {
  const { code, out, err } = await fluxgate([...words, '--json'])
  assert.equal(code, 0, err)
  return JSON.parse(out)
}

test('an operator opens a project, gives it a key and money, charges, refunds and audits', async () => {
  const migrated = await json('migrate')
  assert(migrated.applied.length >= 2)
  assert.deepEqual(await json('migrate'), { applied: [] })

  const project = await json('project', 'create', 'production')
  assert.match(project.id, /^prj_/)
  assert.deepEqual((await json('project', 'list')).data, [project])

  const key = await json('key', 'create', '--project', 'production', '--name', 'laptop')
  assert.match(key.secret, /^fg_key_/)
  const { secret, ...shown } = key
  assert.deepEqual((await json('key', 'list', '--project', project.id)).data, [shown])

  const keeps = await json('project', 'set', 'production', '--content-logging', 'full', '--retention-days', '7')
  assert.deepEqual(keeps, { ...project, content_logging: 'full', content_retention_days: 7 })

  const grant = ['grant', '--project', 'production', '--usd', '5', '--reason', 'a start', '--key', 'start']
  const first = await json(...grant)
  assert.deepEqual([first.amount_nanousd, first.actor, first.replayed], ['5000000000', 'cli', false])
  assert.deepEqual(await json(...grant), { ...first, replayed: true })

  const slot = await claimTestSlot(database.db)
  const till = await createTestTill({ database, slot })
  const { rows } = await database.db.query('select wallet_id from project')
  const caller = {
    keyId: key.id,
    projectId: project.id,
    account: project.account,
    scopes: scopeSet(key.scopes),
    personal: false,
    userId: null,
  }
  const receipt = `rcp_${await till.charge({ ...caller, walletId: rows[0].wallet_id }, 2_000_000n)}`
  await till.close()
  const refund = await json('refund', receipt, '--usd', '0.0005', '--reason', 'slow', '--key', 'r1')
  assert.deepEqual([refund.receipt_id, refund.amount_nanousd], [receipt, '500000'])
  assert.equal((await json('refund', receipt, '--reason', 'slow', '--key', 'r2')).amount_nanousd, '1500000')

  const { wallet } = await json('wallet', 'show', '--project', 'production')
  assert.deepEqual([wallet.available_nanousd, wallet.available_flux, wallet.last_seq], ['5000000000', '5000', 1])

  assert.notEqual((await json('key', 'revoke', key.id)).revoked_at, null)
  const audit = await json('ledger', 'audit')
  assert.equal(audit.ok, true)
  assert(!JSON.stringify([first, wallet, audit]).includes(secret))
})

test('without --json, people read the same facts', async () => {
  await fluxgate(['project', 'create', 'readable'])
  await fluxgate(['grant', '--project', 'readable', '--usd', '1.5', '--reason', 'r', '--key', 'k'])
  const wallet = await fluxgate(['wallet', 'show', '--project', 'readable'])
  assert.match(wallet.out, /available +\$1\.5 +1500\n/)
  const audit = await fluxgate(['ledger', 'audit'])
  assert.match(audit.out, /the books balance\n$/)
  const created = await fluxgate(['key', 'create', '--project', 'readable', '--name', 'n'])
  assert.match(created.out, /\nfg_key_[a-z2-7]{40}\n/)
  assert.match(
    (await fluxgate(['key', 'list', '--project', 'readable'])).out,
    /^ID +NAME +SECRET +SCOPES +CREATED +LAST USED +STATE\nkey_/,
  )
  assert.match((await fluxgate(['project', 'list'])).out, /readable/)
  assert.match((await fluxgate(['migrate'])).out, /^nothing to do\n$/)
})

test('a key with some scopes is rotated, and a project renamed', async () => {
  const project = await json('project', 'create', 'before')
  const renamed = await json('project', 'rename', 'before', 'after', '--description', 'for a test')
  assert.deepEqual(renamed, { ...project, name: 'after', description: 'for a test' })
  assert.equal((await json('project', 'rename', project.id, 'after', '--description', '')).description, null)

  const key = await json('key', 'create', '--project', 'after', '--name', 'k', '--scopes', 'read,inference')
  assert.deepEqual(key.scopes, ['inference', 'read'])
  const rotated = await json('key', 'rotate', key.id, '--overlap', '2h', '--expires', 'never')
  assert.deepEqual([rotated.scopes, rotated.expires_at, rotated.replaced.rotated_to], [key.scopes, null, rotated.id])
  const leftMs = Date.parse(rotated.replaced.expires_at) - Date.now()
  assert(leftMs > 7_100_000 && leftMs <= 7_205_000)
  const { out } = await fluxgate(['key', 'list', '--project', 'after'])
  assert.match(out, new RegExp(`${key.id}.*inference,read.*never.*replaced by ${rotated.id}`))
  const again = await fluxgate(['key', 'rotate', key.id])
  assert.deepEqual([again.code, /was rotated already/.test(again.err)], [1, true])
  const last = await fluxgate(['key', 'rotate', rotated.id, '--overlap', '0s'])
  assert.match(last.out, /^created key_\w+ k\nfg_key_\w{40}\n.*\n.* works until 2/)
})

test('ledger audit exits 1 and names the invariant when the books are wrong', async () => {
  const doctor = (sign: string) =>
    database.db.query(
      `update wallet set posted = posted ${sign} 1, version = version + 1 where id = (select max(id) from wallet)`,
    )
  await fluxgate(['project', 'create', 'doctored'])
  await doctor('+')
  const { code, out } = await fluxgate(['ledger', 'audit'])
  await doctor('-')
  assert.equal(code, 1)
  assert.match(out, /\n\d+ +1 +what a wallet has posted is the sum of its lots\n/)
  assert.match(out, /\n1 bad rows\n$/)
})

test('a command that moves money gives its writer slot back', async () => {
  await fluxgate(['grant', '--project', 'production', '--usd', '1', '--reason', 'r', '--key', 'slot'])
  const { rows } = await database.db.query(`select released from gateway_slot where instance like 'cli:%'`)
  assert(rows.length > 0 && rows.every((row) => row.released))
})

test('the first word of several commands lists them with --help', async () => {
  const { code, out } = await fluxgate(['project', '--help'])
  assert.equal(code, 0)
  assert.match(
    out,
    /^usage: fluxgate project COMMAND.*\n\n {2}project create +.*\n {2}project rename +.*\n {2}project set +.*\n {2}project list +.*\n\n/,
  )
})

for (const [words, code, says] of [
  // Called wrongly.
  [[], 2, /^usage: fluxgate COMMAND/],
  [['progect', 'create', 'x'], 2, /there is no command 'progect'; did you mean project create/],
  [
    ['project'],
    2,
    /there is no command 'project'; did you mean project create, project rename, project set, project list\?/,
  ],
  [
    ['project', 'delete'],
    2,
    /there is no command 'project delete'; did you mean project create, project rename, project set, project list\?/,
  ],
  [['audit', '--help'], 2, /there is no command 'audit'/],
  [['audit'], 2, /there is no command 'audit'/],
  [['constructor'], 2, /there is no command 'constructor'/],
  [['--verbose'], 2, /there is no command '--verbose'/],
  [['key', 'rotate', 'key_x', '--overlap', '31d'], 2, /--overlap must be 0s to 30d/],
  [['key', 'rotate', 'key_x', '--overlap', '5'], 2, /--overlap must be 0s to 30d/],
  [
    ['key', 'create', '--project', 'p', '--name', 'n', '--scopes', 'read,root'],
    2,
    /--scopes must be of inference, ingest/,
  ],
  [['project', 'create'], 2, /NAME is missing\n\nusage: fluxgate project create NAME/],
  [['project', 'create', 'a', 'b'], 2, /unexpected argument 'b'/],
  [['project', 'set', 'p'], 2, /nothing to set/],
  [['project', 'set', 'p', '--content-logging', 'all'], 2, /--content-logging must be one of none, metadata, full/],
  [['project', 'set', 'p', '--retention-days', '0'], 2, /--retention-days must be an integer from 1 to 3650/],
  [['project', 'set', 'p', '--content-logging', 'full'], 1, /No project has this id or name/],
  [['project', 'create', 'a', '--nmae', 'b'], 2, /Unknown option '--nmae'/],
  [['key', 'create', '--name', 'x'], 2, /--project is missing/],
  [['key', 'create', '--project', 'p', '--name', 'x', '--expires', 'tomorrow'], 2, /--expires must be a time/],
  [
    ['key', 'create', '--project', 'p', '--name', 'x', '--expires', '2099-01-01T00:00:00'],
    2,
    /--expires must be a time/,
  ],
  [['key', 'revoke'], 2, /KEY_ID is missing/],
  [['grant', '--project', 'p', '--reason', 'r', '--key', 'k'], 2, /--usd or --nanousd is missing/],
  [['grant', '--project', 'p', '--usd', 'x', '--reason', 'r', '--key', 'k'], 2, /--usd must be a decimal/],
  [['grant', '--project', 'p', '--usd', '1', '--nanousd', '1', '--reason', 'r', '--key', 'k'], 2, /not both/],
  [['grant', '--project', 'p', '--usd', '1', '--key', 'k'], 2, /--reason is missing/],
  [['grant', '--project', 'p', '--usd', '1', '--reason', 'r'], 2, /--key is missing/],
  [['refund', 'grt_1', '--reason', 'r', '--key', 'k'], 2, /RECEIPT must be rcp_/],
  [['wallet', 'show'], 2, /--project is missing/],
  [['ledger', 'audit', '--fix'], 2, /Unknown option '--fix'/],
  [['receipt', 'verify'], 2, /name a file/],
  // Refused.
  [['project', 'create', 'production'], 1, /A project of this name exists already\. \[name_taken\]/],
  [['project', 'create', 'a\tb'], 1, /without control characters\. \[body_invalid\]/],
  [['key', 'create', '--project', 'nobody', '--name', 'x'], 1, /\[not_found\]/],
  [['key', 'revoke', 'key_nobody'], 1, /\[not_found\]/],
  [
    ['grant', '--project', 'production', '--usd', '6', '--reason', 'a start', '--key', 'start'],
    1,
    /\[idempotency_mismatch\]/,
  ],
  [
    ['grant', '--project', 'production', '--usd', '1000001', '--reason', 'r', '--key', 'k'],
    1,
    /\$1,000,000\. \[body_invalid\]/,
  ],
  [
    ['grant', '--project', 'production', '--usd', '1', '--reason', 'r', '--key', 'a b'],
    1,
    /\[idempotency_key_invalid\]/,
  ],
  [['refund', `rcp_${'0'.repeat(32)}`, '--reason', 'r', '--key', 'k'], 1, /\[not_found\]/],
] as const) {
  test(`fluxgate ${words.join(' ')} exits ${code} and says why`, async () => {
    const result = await fluxgate([...words])
    assert.equal(result.code, code)
    assert.match(result.err, says)
    assert.equal(result.out, '')
  })
}

test('with --json a refusal is JSON as well, on standard error', async () => {
  const { code, err } = await fluxgate(['project', 'create', 'production', '--json'])
  assert.equal(code, 1)
  assert.equal(JSON.parse(err).error.code, 'name_taken')
})

test('the database is closed however a command ends', async () => {
  for (const words of [
    ['project', 'list'],
    ['project', 'create', 'production'],
    ['ledger', 'audit'],
  ])
    assert.equal((await fluxgate(words)).closed, 1)
})

test('a database that is away is a refusal that names the cause', async () => {
  const { code, err } = await fluxgate(['project', 'list'], {
    async openDatabase() {
      const db = createPool({ connection: { host: '127.0.0.1', port: 1, user: 'nobody' }, poolMax: 1 }, () => undefined)
      return { db, close: () => db.end() }
    },
  })
  assert.equal(code, 1)
  assert.match(err, /ECONNREFUSED.*\[ledger_unavailable\]\n$/)
})

test('help names every command; each explains itself without a database', async () => {
  const nothing = { openDatabase: () => assert.fail('help needs no database') }
  for (const word of ['--help', '-h', 'help']) {
    const { code, out } = await fluxgate([word], nothing)
    assert.equal(code, 0)
    for (const name of Object.keys(commands)) assert(out.includes(`  ${name} `), name)
  }
  for (const name of Object.keys(commands)) {
    const { code, out } = await fluxgate([...name.split(' '), '--help'], nothing)
    assert.equal(code, 0)
    assert.match(out, new RegExp(`\n\nusage: fluxgate ${name}`))
  }
})

test('api runs the server that the process brings', async () => {
  assert.equal((await fluxgate(['api'])).code, 42)
})
