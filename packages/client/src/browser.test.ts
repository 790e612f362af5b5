// The package as it is built, as plain ES modules in a real browser: no bundler, no polyfill.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, extname, join, normalize } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Browser, chromium, type Page } from 'playwright-core'

const here = fileURLToPath(new URL('..', import.meta.url))
const root = join(here, '../..')
const vectors = join(root, 'src/billing/vectors')
const parser = join(createRequire(join(here, 'package.json')).resolve('smol-toml'), '..')

const found = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find((path) => path !== undefined && existsSync(path))
const options = found === undefined ? { skip: 'no Chromium is installed here: set CHROMIUM_PATH' } : {}

let home = ''
let url = ''
let browser: Browser | undefined
let page: Page
const problems: string[] = []

const types: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.html': 'text/html',
}
const html = `<!doctype html><title>test</title><link rel="icon" href="data:,">
<script type="importmap">{"imports":{"@fluxgate/client":"/dist/index.js","@fluxgate/client/receipts":"/dist/receipts.js","smol-toml":"/smol-toml/index.js"}}</script>`
const posted: string[] = []
const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url ?? '/', 'http://any').pathname)
  if (request.method === 'POST') {
    let text = ''
    for await (const chunk of request) text += chunk
    posted.push(text)
    if (posted.length === 1) {
      response.writeHead(503)
      response.end()
      return
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ results: JSON.parse(text).logs.map(() => ({ status: 'created' })) }))
    return
  }
  const file = path.startsWith('/dist/')
    ? join(home, path)
    : path.startsWith('/smol-toml/')
      ? join(parser, path.slice('/smol-toml/'.length))
      : path.startsWith('/vectors/')
        ? join(vectors, path.slice('/vectors/'.length))
        : path === '/receipts/public-keys.json'
          ? join(vectors, 'keys.json')
          : undefined
  const body = path === '/' ? html : file !== undefined && existsSync(file) ? await readFile(file) : undefined
  response.writeHead(body === undefined ? 404 : 200, { 'content-type': types[extname(path)] ?? 'text/html' })
  response.end(body)
})

before(async () => {
  if (found === undefined) return
  home = await mkdtemp(join(tmpdir(), 'fluxgate-client-browser-'))
  const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}` }
  await promisify(execFile)(process.execPath, [join(here, 'build.js'), join(home, 'dist')], { env })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  browser = await chromium.launch({ executablePath: found, args: ['--no-sandbox', '--disable-gpu'] })
  page = await browser.newPage()
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
  await page.goto(url)
})
after(async () => {
  await browser?.close()
  server.closeAllConnections()
  server.close()
  if (home !== '') await rm(home, { recursive: true, force: true })
})

test('the browser gives every receipt vector its verdict, from its text', options, async () => {
  const { vectors: list }: { vectors: { file: string; expect: string }[] } = JSON.parse(
    await readFile(join(vectors, 'index.json'), 'utf8'),
  )
  const verdicts = await page.evaluate(
    async ({ files, base }) => {
      const name = '@fluxgate/client/receipts'
      const { fetchReceiptKeys, verifyReceipt } = await import(name)
      const keys = await fetchReceiptKeys(base)
      const all: string[] = []
      for (const file of files) {
        const text = await (await fetch(`/vectors/${file}`)).text()
        const { ok, steps } = await verifyReceipt(text, keys)
        all.push(ok ? 'ok' : steps.find((step: { reached: boolean; ok: boolean }) => step.reached && !step.ok).name)
      }
      return all
    },
    { files: list.map(({ file }) => file), base: url },
  )
  assert.ok(list.length > 100)
  assert.deepEqual(
    verdicts,
    list.map(({ expect }) => expect),
  )
  assert.deepEqual(problems, [])
})

test('the whole package loads there, and costs and lockfiles are the same as here', options, async () => {
  const got = await page.evaluate(async () => {
    const name = '@fluxgate/client'
    const client = await import(name)
    const price = client.priceOf({ dollars_per_million_tokens_input: 0.15, dollars_per_million_tokens_output: 0.6 })
    const { nanousd } = client.costOf({ input: 1000, output: 200 }, price)
    const lockfile = client.createLockfile(new Date('2026-01-01T00:00:00Z'))
    const text = client.writeLockfile(lockfile, 'toml')
    return [
      String(nanousd),
      await client.lockDigest(client.readLockfile(text, 'toml')),
      await client.lockDigest(lockfile),
    ]
  })
  assert.equal(got[0], '270000')
  assert.match(String(got[1]), /^[0-9a-f]{64}$/)
  assert.equal(got[1], got[2])
  assert.deepEqual(problems, [])
})

test('usage is reported from there, after a fault', options, async () => {
  posted.length = 0
  const counts = await page.evaluate(async (base) => {
    const name = '@fluxgate/client'
    const { createUsageLogger } = await import(name)
    const backoff = { firstMs: 1, mostMs: 5 }
    const logger = createUsageLogger({ baseUrl: base, apiKey: 'fg_key_test', collectMs: 1, backoff })
    for (const model of ['a', 'b']) logger.log({ provider: 'openai', model, usage: { input: 1 } })
    await logger.close()
    return logger.counts()
  }, url)
  assert.deepEqual(counts, { waiting: 0, sent: 2, rejected: 0, lost: 0 })
  assert.equal(posted.length, 2)
  assert.deepEqual(
    JSON.parse(posted[1] ?? '').logs.map(({ model }: { model: string }) => model),
    ['a', 'b'],
  )
  problems.length = 0 // The browser notes the fault in its console.
})

test('nothing that the browser loads names a module of Node', options, async () => {
  const files = (await readdir(join(home, 'dist'), { recursive: true })).filter((file) => file.endsWith('.js'))
  const leaning: string[] = []
  for (const file of files) {
    if (/^(node|cli)\//.test(file)) continue
    if (/from ['"]node:/.test(await readFile(join(home, 'dist', file), 'utf8'))) leaning.push(file)
  }
  assert.deepEqual(leaning, [])
})
