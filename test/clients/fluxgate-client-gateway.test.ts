// Our own client against a whole gateway: what it reports, what it reads back, and the command line.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ADMIN_KEY, createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import { runCli } from '../../packages/client/src/cli/run-cli.ts'
import {
  createGatewayApi,
  createUsageLogger,
  type FluxgateError,
  fetchReceiptKeys,
  readPrices,
  type Usage,
  type UsageLogEntry,
  verifyReceiptSet,
} from '../../packages/client/src/index.ts'

let gateway: TestGateway
let cwd = ''
before(async () => {
  gateway = await createTestGateway()
  cwd = await mkdtemp(join(tmpdir(), 'fluxgate-client-gateway-'))
})
after(async () => {
  await gateway.close()
  await rm(cwd, { recursive: true, force: true })
})

async function run(line: string, secret: string | undefined, env: Record<string, string> = {}) {
  let out = ''
  let err = ''
  const code = await runCli(line.split(' '), {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    env: { FLUXGATE_URL: gateway.url, ...(secret !== undefined && { FLUXGATE_API_KEY: secret }), ...env },
    cwd,
    now: () => new Date('2026-01-01T00:00:00Z'),
  })
  return { code, out, err }
}

const calls: { provider: string; model: string; usage: Usage }[] = [
  { provider: 'openai', model: 'gpt-4o-mini', usage: { input: 600, cache_read: 400, output: 200 } },
  { provider: 'openai', model: 'gpt-5', usage: { input: 1000, output: 180, reasoning: 120 } },
  {
    provider: 'anthropic',
    model: 'claude-sonnet-4-5-20250929',
    usage: { input: 3800, cache_read: 1200, cache_write_5m: 800, cache_write_1h: 600, output: 1000 },
  },
  { provider: 'google', model: 'gemini-2.5-pro', usage: { input: 300_000, output: 1000 } },
  { provider: 'openai', model: 'nobody-knows', usage: { input: 5 } },
  { provider: 'openai', model: 'gpt-4o-mini', usage: {} },
]

test('what is reported is priced by the gateway as it is priced here, and read back', async () => {
  const project = await gateway.openProject(0n)
  const rejected: FluxgateError[] = []
  const logger = createUsageLogger({
    baseUrl: gateway.url,
    apiKey: project.secret,
    collectMs: 1,
    onRejected: (_entries, error) => rejected.push(error),
  })
  for (const call of calls) logger.log({ ...call, aliasName: 'résumé', profile: 'prod', origin: 'test' })
  assert.equal(await logger.close(), true)
  assert.deepEqual(rejected, [])

  const api = createGatewayApi({ baseUrl: gateway.url, apiKey: project.secret })
  const table = readPrices(await (await fetch(`${gateway.url}/registry`)).json())
  const entries: UsageLogEntry[] = []
  for await (const entry of api.logs({ alias: 'résumé' })) entries.push(entry)
  assert.equal(entries.length, calls.length)
  for (const { provider, model, usage } of calls) {
    const cost =
      Object.keys(usage).length === 0
        ? table.costOf(`${provider}:${model}`, undefined)
        : table.costOf(`${provider}:${model}`, usage)
    const entry: UsageLogEntry | undefined = entries.find(
      (one) => one.model === model && one.output_tokens === (usage.output ?? 0) + (usage.reasoning ?? 0),
    )
    assert.ok(entry !== undefined)
    assert.deepEqual(
      [entry.cost_status, entry.cost_nanousd, entry.source],
      [cost.status, cost.status === 'priced' ? cost.nanousd.toString() : null, 'reported'],
      `${provider}:${model}`,
    )
  }
  assert.ok(entries.some(({ cost_status }) => cost_status === 'no_usage'))
  const { summary, by_alias } = await api.stats({ profile: 'prod' })
  assert.deepEqual([summary.total_requests, summary.unpriced], [6, 2])
  assert.equal(by_alias.résumé?.cost_nanousd, summary.cost_nanousd)
  assert.equal((await project.wallet()).postedNanos, 0n)
})

test('the same entries sent again are kept once', async () => {
  const project = await gateway.openProject(0n)
  for (let round = 0; round < 2; round += 1) {
    const logger = createUsageLogger({ baseUrl: gateway.url, apiKey: project.secret, collectMs: 1 })
    for (let index = 0; index < 150; index += 1)
      logger.log({
        provider: 'openai',
        model: 'gpt-4o-mini',
        usage: { input: 1 },
        idempotencyKey: `key-${index}`,
        occurredAt: new Date('2026-11-30T00:00:00Z'),
      })
    assert.equal(await logger.close(), true)
    assert.equal(logger.counts().sent, 150)
  }
  const { summary } = await createGatewayApi({ baseUrl: gateway.url, apiKey: project.secret }).stats({
    from: '2026-11-30',
    to: '2026-11-30',
  })
  assert.equal(summary.total_requests, 150)
})

test('stats and logs on the command line', async () => {
  const project = await gateway.openProject(ONE_USD)
  await gateway.chat({ model: 'sim/echo', messages: [{ role: 'user', content: 'hello' }] }, { key: project.secret })
  await project.settled(1)
  const logger = createUsageLogger({ baseUrl: gateway.url, apiKey: project.secret, collectMs: 1 })
  for (let index = 0; index < 600; index += 1)
    logger.log({ provider: 'openai', model: 'gpt-4o-mini', usage: { input: 1000, output: 200 }, aliasName: '=1+1' })
  await logger.close()

  const stats = await run('stats --group-by month', project.secret)
  assert.equal(stats.code, 0)
  assert.match(stats.out, /^601 requests, /)
  assert.match(stats.out, /^month +requests +input +output +cost$/m)
  assert.match(stats.out, /^=1\+1 +600 +600000 +120000 +\$0\.162/m)
  assert.equal(JSON.parse((await run('stats --json', project.secret)).out).summary.total_requests, 601)

  const newest = await run('logs --limit 2', project.secret)
  assert.equal(newest.out.split('\n').length, 4)
  assert.match(newest.err, /^the newest 2 are shown/)
  assert.equal(JSON.parse((await run('logs --all --output json', project.secret)).out).length, 601)
  assert.equal(JSON.parse((await run('logs --source gateway --output json', project.secret)).out).length, 1)
  assert.deepEqual(JSON.parse((await run('logs --alias nothing --output json', project.secret)).out), [])
  const csv = (await run('logs --output csv --alias =1+1', project.secret)).out.trimEnd().split(/\r?\n/)
  assert.equal(csv.length, 601)
  assert.match(csv[1] ?? '', /'=1\+1/, 'a spreadsheet takes it for text')
  const lines = (await run('logs --output ndjson', project.secret)).out.trimEnd().split('\n')
  assert.deepEqual([lines.length, typeof JSON.parse(lines[0] ?? '').id], [601, 'string'])

  for (const [line, message] of [
    ['stats --group-by year', /^--group-by takes day, week, month, not year/],
    ['logs --output xml', /^--output takes table, json, csv, ndjson, not xml/],
    ['logs --limit 0', /^--limit takes a number/],
    ['logs --all --limit 3', /^either --all or --limit/],
    ['stats --from yesterday', /start_date/],
    ['stats --url ftp://x', /^the URL of the gateway cannot be used/],
  ] as const) {
    const { code, err } = await run(line, project.secret)
    assert.equal(code, 2, line)
    assert.match(err, message)
  }
  const refused = await run('stats', 'fg_key_nobody')
  assert.equal(refused.code, 1)
  assert.match(refused.err, /^the key is rejected: /)
  const alone = await run('stats', undefined)
  assert.deepEqual([alone.code, alone.err], [2, 'set FLUXGATE_API_KEY to a key of your project\n'])
})

test('receipts of the gateway, from its page to a verdict', async () => {
  const project = await gateway.openProject(ONE_USD)
  for (const content of ['one', 'two', 'three'])
    await gateway.chat({ model: 'sim/echo', messages: [{ role: 'user', content }] }, { key: project.secret })
  await project.settled(3)
  const { text } = await gateway.chat(undefined, { key: project.secret, method: 'GET', path: '/v1/receipts' })
  await writeFile(join(cwd, 'page.json'), text)
  const good = await run('receipt verify page.json', undefined)
  assert.deepEqual([good.code, good.out.split('\n').at(-2)], [0, 'all is well: 3 of 3 receipts verify'])
  const keys = await fetchReceiptKeys(gateway.url)
  assert.equal((await verifyReceiptSet((JSON.parse(text) as { data: unknown[] }).data, keys)).ok, true)

  await writeFile(join(cwd, 'keys.json'), JSON.stringify(keys))
  const { text: part } = await gateway.chat(undefined, {
    key: project.secret,
    method: 'GET',
    path: '/v1/receipts?limit=2',
  })
  await writeFile(join(cwd, 'part.json'), part)
  const cut = await run('receipt verify part.json --keys keys.json', undefined, { FLUXGATE_URL: '' })
  assert.equal(cut.code, 1)
  assert.match(cut.out, /FAIL +complete +there are more: name GET \/v1\/receipts\?after=2 /)
  assert.equal((await run('receipt verify part.json --keys keys.json --partial', undefined)).code, 0)

  await writeFile(join(cwd, 'forged.json'), text.replace(/"charged_nanousd":"\d+"/, '"charged_nanousd":"1"'))
  const forged = await run(
    `receipt verify forged.json --keys ${gateway.url}/receipts/public-keys.json --json`,
    undefined,
  )
  assert.equal(forged.code, 1)
  assert.equal(JSON.parse(forged.out).receipts.filter(({ ok }: { ok: boolean }) => ok).length, 2)
  const missing = await run('receipt verify nowhere.json', undefined)
  assert.equal(missing.code, 2)
  assert.match(missing.err, /^cannot read nowhere\.json: /)
})

test('server init and status say what is there, and never a secret', async () => {
  const project = await gateway.openProject(0n)
  const first = await run('server init', undefined)
  assert.equal(first.code, 0)
  assert.match(first.out, /healthy/)
  assert.match(first.out, new RegExp(`export FLUXGATE_URL=${gateway.url}\\n  export FLUXGATE_API_KEY=\\.\\.\\.`))
  const again = await run('server init', project.secret)
  assert.equal(again.out.includes(project.secret), false)
  const status = await run('server status', project.secret)
  assert.equal(status.code, 0, status.out + status.err)
  assert.match(status.out, /^gateway: healthy .*\nkey: accepted, key_/)
  assert.equal(status.out.includes(project.secret), false)
  const rejected = await run('server status --json', 'fg_key_nobody')
  assert.deepEqual([rejected.code, JSON.parse(rejected.out).key], [1, { problem: 'invalid_api_key' }])
  const away = await run('server status --url http://127.0.0.1:1', project.secret)
  assert.equal(away.code, 2)
  assert.match(away.err, /^the gateway cannot be reached: .* \(network_failed\)\n$/)
})

test('server key rotate: the new key works, the old one until its overlap ends', async () => {
  const project = await gateway.openProject(0n)
  const { status, json } = await gateway.chat(
    { name: 'administers', scopes: ['admin', 'read'] },
    { key: ADMIN_KEY, path: `/api/admin/projects/${project.id}/keys` },
  )
  assert.equal(status, 201)
  const { secret } = json
  const rotated = await run('server key rotate --overlap 1h', secret)
  assert.equal(rotated.code, 0, rotated.err)
  const fresh = rotated.out.trim()
  assert.match(fresh, /^\S+$/)
  assert.match(rotated.err, /replaces key_.*works until/)
  assert.equal(rotated.err.includes(fresh), false)
  for (const key of [fresh, secret]) assert.equal((await run('server status', key)).code, 0)
  const refused = await run('server key rotate', project.secret)
  assert.equal(refused.code, 1, 'it lacks the scope admin')
  assert.equal((await run('server key rotate --overlap soon', secret)).code, 2)
})

test('lock check --server compares pins with the registry of the gateway', async () => {
  const lock = join(cwd, 'llmring.lock')
  await run('lock init --force', undefined)
  const pinned = async (version: number) => {
    await run('lock init --force', undefined)
    const text = await readFile(lock, 'utf8')
    const pins = `[profiles.default.registry_versions]\nopenai = ${version}\nnobody = 1\n`
    await writeFile(lock, text.replace('[profiles.default.registry_versions]\n', pins))
    return await run('lock check --server', undefined)
  }
  const { version } = (await (await fetch(`${gateway.url}/registry/openai/models.json`)).json()) as { version: number }
  const current = await pinned(version)
  assert.deepEqual([current.code, current.err], [0, ''])
  assert.match(current.out, new RegExp(`^openai: version ${version} is current\\nno registry file for nobody$`, 'm'))
  const ahead = await pinned(version + 1)
  assert.equal(ahead.code, 1)
  assert.match(ahead.out, new RegExp(`^openai: pinned to version ${version + 1}, current is ${version}$`, 'm'))
})
