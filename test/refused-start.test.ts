import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
import { type DurableDatabase, startDurableDatabase } from '#test/support/durable-database.ts'
import { createDataDir, removeDataDir, runGateway, startGateway } from '#test/support/gateway-process.ts'

/** It must say why and leave, not hang; loading the program alone takes seconds on a busy machine. */
const REFUSAL_MS_MAX = 15_000

let unsafe: EmbeddedPostgres
let unsafeDir = ''

before(async () => {
  unsafeDir = await createDataDir()
  unsafe = await startEmbeddedPostgres({ dataDir: unsafeDir, durable: false, log: () => undefined })
})
after(async () => {
  await unsafe.stop()
  await removeDataDir(unsafeDir)
})

const cases: [name: string, env: () => Record<string, string>, says: RegExp, code?: number][] = [
  [
    'a database that does not flush',
    () => ({ DATABASE_URL: unsafe.url }),
    /could lose money.*\n- fsync must be on, it is off\n- full_page_writes must be on, it is off$/,
  ],
  [
    'a database that nobody serves',
    () => ({ DATABASE_URL: 'postgres://someone:swordfish@127.0.0.1:1/fluxgate' }),
    /^\nThe database cannot be used: .*127\.0\.0\.1:1.*DATABASE_URL/,
  ],
  [
    'a database that does not exist',
    () => ({ DATABASE_URL: unsafe.url.replace('/fluxgate?', '/elsewhere?') }),
    /^\nThe database cannot be used: database "elsewhere" does not exist.*DATABASE_URL/,
  ],
  [
    'a wrong password',
    () => ({ DATABASE_URL: unsafe.url.replace(/:[^:@/]+@/, ':swordfish@') }),
    /^\nThe database cannot be used: password authentication failed.*DATABASE_URL/,
  ],
  [
    'DATABASE_URL without the secrets that all its gateways share',
    () => ({
      DATABASE_URL: unsafe.url,
      FLUXGATE_ADMIN_KEY: '',
      RECEIPT_SIGNING_KEY: '',
      LOG_SIGNING_KEY: '',
      LLM_ROUTER_MASTER_KEY: '',
    }),
    /FLUXGATE_ADMIN_KEY, RECEIPT_SIGNING_KEY, LOG_SIGNING_KEY and LLM_ROUTER_MASTER_KEY must be set too/,
  ],
  ['a setting that is no number', () => ({ PORT: 'http' }), /PORT must be an integer from 0 to 65535/, 2],
]

for (const [name, env, says, code = 1] of cases) {
  test(`refused at the start, with a clear message: ${name}`, async () => {
    const dataDir = await createDataDir()
    try {
      const exit = await runGateway({ dataDir, env: env() }, REFUSAL_MS_MAX)
      assert.deepEqual([exit.code, exit.signal], [code, null], exit.err)
      assert.match(exit.err, says)
      assert.doesNotMatch(exit.err + exit.out, /swordfish|\n\s+at /, 'no password, no stack')
    } finally {
      await removeDataDir(dataDir)
    }
  })
}

test('a start that fails half-way closes what it has opened and leaves', async () => {
  const database = await startDurableDatabase()
  const dataDir = await createDataDir()
  const squatter = createServer()
  await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
  const { port } = squatter.address() as AddressInfo
  try {
    for (const [env, says] of [
      [{ PRICE_BOOK: '/nowhere/book.json' }, /\/nowhere\/book\.json/],
      [{ PORT: String(port) }, /is in use by another program\. Choose another port with PORT/],
    ] as const) {
      const exit = await runGateway({ dataDir, env: { DATABASE_URL: database.url, ...env } }, REFUSAL_MS_MAX)
      assert.deepEqual([exit.code, exit.signal], [1, null], exit.err)
      assert.match(exit.err, says)
      assert.deepEqual(await query(database, 'select released from fluxgate.gateway_slot'), [{ released: true }])
    }
  } finally {
    squatter.close()
    await database.close()
    await removeDataDir(dataDir)
  }
})

test('a second gateway on a data directory is refused and told whose it is; the first goes on', async () => {
  const dataDir = await createDataDir()
  const first = await startGateway({ dataDir })
  try {
    const second = await runGateway({ dataDir }, REFUSAL_MS_MAX)
    assert.equal(second.code, 1)
    assert.match(second.err, new RegExp(`${dataDir} is in use by another process \\(pid ${first.pid}\\)`))
    assert.equal((await fetch(`${first.url}/readyz`)).status, 200)
    assert.deepEqual(
      (await readdir(`${dataDir}/locks`)).filter((name) => !name.includes(`.${first.pid}.`)),
      [],
      'the refused one leaves no claim',
    )
  } finally {
    first.kill('SIGTERM')
    assert.equal((await first.exited).code, 0)
    await removeDataDir(dataDir)
  }
})

async function query(database: DurableDatabase, text: string): Promise<unknown[]> {
  const client = new pg.Client(database.connection)
  await client.connect()
  const { rows } = await client.query(text)
  await client.end()
  return rows
}
