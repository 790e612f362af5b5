// Runs the README's examples as they stand, against a server in place of the gateway.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runCli } from './cli/run-cli.ts'
import { checkLockfile, readLockfile } from './index.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const source = (path: string) => new URL(path, import.meta.url).href
const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((match) => match[1] ?? '')

let cwd = ''
let server: Server
let url = ''

const vector = (file: string) => readFileSync(new URL(`../../../src/billing/vectors/${file}`, import.meta.url), 'utf8')

/** What the gateway answers at some addresses. */
const addresses: Readonly<Record<string, (body: string) => string>> = {
  '/receipts/public-keys.json': () => vector('keys.json'),
  '/api/v1/logs:batch': (body) => {
    const { logs }: { logs: unknown[] } = JSON.parse(body)
    reported.push(...logs)
    return JSON.stringify({ results: logs.map(() => ({ status: 'created' })) })
  },
  '/api/v1/logs': () => JSON.stringify([{ id: 'one', logged_at: '2026-11-22T00:00:00Z', cost_nanousd: '270000' }]),
  '/api/v1/stats': () => JSON.stringify({ summary: { total_cost: '0.000270000' }, by_alias: { summarizer: {} } }),
}
const reported: unknown[] = []

before(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'fluxgate-client-readme-'))
  await symlink(join(root, 'node_modules'), join(cwd, 'node_modules'))
  await writeFile(join(cwd, 'receipt.json'), vector('good-single.json'))
  server = createServer(async (req, res) => {
    let text = ''
    for await (const chunk of req) text += chunk
    const known = addresses[new URL(req.url ?? '', 'http://any').pathname]
    if (known !== undefined) {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(known(text))
      return
    }
    const { model, stream } = JSON.parse(text)
    const message = { role: 'assistant', content: 'Hello from the model' }
    const usage = { input_tokens: 1, output_tokens: 1, prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
    res.writeHead(200, { 'content-type': stream === true ? 'text/event-stream' : 'application/json' })
    if (stream === true)
      res.end(`data: ${JSON.stringify({ model, choices: [{ index: 0, delta: message }] })}\n\ndata: [DONE]\n\n`)
    else if (req.url === '/v1/messages')
      res.end(
        JSON.stringify({
          id: 'm',
          type: 'message',
          role: 'assistant',
          model,
          content: [{ type: 'text', text: message.content }],
          stop_reason: 'end_turn',
          usage,
        }),
      )
    else res.end(JSON.stringify({ id: 'c', model, choices: [{ index: 0, message, finish_reason: 'stop' }], usage }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
after(async () => {
  server.closeAllConnections()
  server.close()
  await rm(cwd, { recursive: true, force: true })
})

test('the commands make the lockfile that the examples use', async () => {
  const lines = blocks('sh')
    .join('')
    .split('\n')
    .filter((line) => line.startsWith('npx fluxgate-client '))
  assert.equal(lines.length, 4)
  let out = ''
  for (const line of lines) {
    const write = (text: string) => {
      out = text
    }
    const words = line.split(' ').slice(2)
    assert.equal(await runCli(words, { out: write, err: write, env: {}, cwd, now: () => new Date() }), 0, line)
  }
  assert.equal(out, 'openai:gpt-4o-mini\nanthropic:claude-haiku-4-5\n')
})

test('the lockfile in the README is a good one', () => {
  const [text = ''] = blocks('toml')
  const lockfile = readLockfile(text, 'toml')
  assert.deepEqual(checkLockfile(lockfile), [])
  assert.deepEqual(lockfile.extends.files, { shared: '../shared/llmring.lock' })
})

for (const [index, code] of blocks('ts').entries()) {
  test(`example ${index + 1} runs`, async () => {
    await mkdir(join(cwd, 'examples'), { recursive: true })
    const file = join(cwd, 'examples', `${index}.mts`)
    await writeFile(
      file,
      code
        .replaceAll("'@fluxgate/client/node'", `'${source('./node/index.ts')}'`)
        .replaceAll('https://gateway.example', url)
        .replaceAll("'@fluxgate/client'", `'${source('./index.ts')}'`),
    )
    const env = {
      PATH: process.env.PATH,
      FLUXGATE_URL: url,
      FLUXGATE_API_KEY: 'fg_key_test',
      OPENAI_BASE_URL: `${url}/v1`,
      OPENAI_API_KEY: 'sk-test',
    }
    const child = spawn(process.execPath, [file], { cwd, env })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
      })
    }
    const [status] = await once(child, 'close')
    assert.equal(status, 0, output)
    assert.match(output, /Hello from the model|version = "1\.0"|versionsBehind: 1|true \[\]|\$0\.00024|270000/)
  })
}

test('the example that reports usage reported all of it', () => {
  assert.deepEqual(
    reported.map((entry) => [
      (entry as { provider: string }).provider,
      (entry as { input_tokens: number }).input_tokens,
    ]),
    [
      ['openai', 1],
      ['openai', 0],
      ['anthropic', 1000],
    ],
  )
})

test('the table of errors is complete', async () => {
  const errors = await readFile(new URL('errors.ts', import.meta.url), 'utf8')
  const codes = [...errors.matchAll(/^ {2}\| '(\w+)'/gm)].map((match) => match[1])
  const documented = [...readme.matchAll(/^\| `(\w+_\w+)` \|/gm)].map((match) => match[1])
  assert.deepEqual(documented, codes)
})
