import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { runCli } from '#cli/run-cli.ts'
import { deriveEnvelopeKey, openEnvelope } from '#lib/envelope.ts'
import { parseConfig } from '#src/config.ts'
import { openEnvelopeKeys } from '#src/envelope-keys.ts'
import { openDatabase } from '#src/open-database.ts'
import { readPriceBook } from '#src/read-price-book.ts'
import { seedKeys } from '#src/seed-keys.ts'
import { receiptKeyFiles } from '#src/signing-keys.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

const PLANTED = 'sk-planted-0f6b3d2a'
const [FIRST, SECOND] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const MASTER = FIRST.toString('base64')
const LINES = { input: '100000', output: '400000' }

let database: TestDatabase
let folder: string
/** All that any command printed. */
let printed = ''
before(async () => {
  database = await createTestDatabase({ migrated: false })
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-router-cli-'))
})
after(async () => {
  await database.close()
  await rm(folder, { recursive: true })
})

interface Run {
  env?: Record<string, string>
  stdin?: string
  /** In a process of its own, which takes its time. */
  spawned?: boolean
}

/** One command line, as src/main.ts runs it. */
async function fluxgate(words: string[], run: Run = {}): Promise<{ out: string; err: string; code: number | null }> {
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: database.url,
    DATA_DIR: join(folder, 'data'),
    LLM_ROUTER_MASTER_KEY: MASTER,
    ...run.env,
  }
  const result = run.spawned ? await spawned(words, env, run.stdin) : await within(words, env, run.stdin)
  printed += result.out + result.err
  return result
}

async function spawned(words: string[], env: Record<string, string | undefined>, stdin = '') {
  const child = spawn(process.execPath, ['src/main.ts', ...words], { env })
  child.stdin.end(stdin)
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { out, err, code }
}

async function within(words: string[], env: Record<string, string | undefined>, stdin = '') {
  const config = parseConfig(env)
  const [out, err] = [new PassThrough(), new PassThrough()]
  const code = await runCli(
    {
      out,
      err,
      stdin: Readable.from([Buffer.from(stdin)]),
      openDatabase: () => openDatabase(config),
      serve: async () => 0,
      envelopeKeys: () => openEnvelopeKeys(config),
      checkWebhookUrl: () => undefined,
      providerKeys: seedKeys(config),
      priceBook: () => readPriceBook(config),
      receiptKeys: receiptKeyFiles(config),
      fluxNanousd: BigInt(config.FLUX_NANOUSD),
    },
    words,
  )
  out.end()
  err.end()
  return { out: await text(out), err: await text(err), code }
}

/** A command that must succeed, with --json. */
async function json(words: string[], options: Run = {}) {
  const { out, err, code } = await fluxgate([...words, '--json'], options)
  assert.equal(code, 0, err)
  return JSON.parse(out)
}

async function file(name: string, content: unknown): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

const config = (key: object, model: object = {}) => ({
  llm: {
    models: {
      chat: { price: { lines: LINES }, upstreams: [{ id: 'a', baseURL: 'https://a.test/v1', keys: [key] }], ...model },
    },
  },
})
async function storedConfig(version?: number) {
  const { rows } = await database.db.query<{ config: string; author: string; reason: string }>(
    'select config, author, reason from fluxgate.router_config where $1::int8 is null or version = $1 order by version desc limit 1',
    [version ?? null],
  )
  const [row] = rows
  assert(row)
  return { ...row, document: JSON.parse(row.config) }
}
const opened = (master: Buffer, modelName: string, key: { id: string; ciphertext: string }) =>
  openEnvelope(
    { current: deriveEnvelopeKey(master), previous: undefined },
    { modelName, keyEntryId: key.id },
    key.ciphertext,
  ).plaintext.toString()

test('an operator plans, applies, edits, looks back and takes back', async () => {
  assert.deepEqual((await json(['router', 'show'])).config, {})
  const first = await file('first.json', config({ id: 'k1', plaintextKey: PLANTED }))
  const plan = await json(['router', 'plan', first])
  assert.deepEqual([plan.changed, plan.base.version], [true, 0])
  const done = await json(['router', 'apply', first, '--reason', 'the first'])
  assert.deepEqual([done.status, done.version.version, done.version.author], ['applied', 1, 'cli'])
  const stored = await storedConfig()
  assert.deepEqual([stored.author, stored.reason], ['cli', 'the first'])
  assert.equal(opened(FIRST, 'chat', stored.document.llm.models.chat.upstreams[0].keys[0]), PLANTED)

  // What `show` prints can be edited and handed back through a pipe.
  const shown = await fluxgate(['router', 'show'], { spawned: true })
  assert.match(shown.err, /^version 1 by cli, .*: the first\netag "1-/)
  const edited = JSON.parse(shown.out)
  edited.llm.models.chat.limits = { maxTokens: 100 }
  const readable = await fluxgate(['router', 'apply', '-', '--reason', 'a limit'], {
    stdin: JSON.stringify(edited),
    spawned: true,
  })
  assert.deepEqual([readable.code, readable.out], [0, 'version 2 holds\nchanged  llm chat  limits\n'])
  const kept = (await storedConfig()).document.llm.models.chat.upstreams[0].keys
  assert.deepEqual(kept, stored.document.llm.models.chat.upstreams[0].keys)

  const late = await fluxgate(['router', 'apply', first, '--reason', 'late', '--if-match', done.version.etag])
  assert.deepEqual([late.code, late.out], [1, ''])
  assert.match(late.err, /\[precondition_failed\]\n$/)

  const history = await json(['router', 'history', '--limit', '1'])
  assert.deepEqual([history.data[0].version, history.has_more, history.next_after], [2, true, 2])
  assert.match((await fluxgate(['router', 'history'])).out, /^VERSION +WRITTEN +AUTHOR +ETAG +REASON\n2 .* a limit\n1 /)
  const back = await json(['router', 'rollback', '1', '--reason', 'no limit'])
  assert.deepEqual([back.version.version, back.version.rollback_of], [3, 1])
  assert.deepEqual((await json(['router', 'show', '1'])).config, (await json(['router', 'show'])).config)
})

test('a rotation: the old master key as the previous one, reseal, and the old one is gone', async () => {
  await json(['router', 'apply', '-', '--reason', 'r'], {
    stdin: JSON.stringify(config({ id: 'k1', plaintextKey: `${PLANTED}-rotated` })),
  })
  const upstream = { baseURL: 'wss://a.test/x', keys: [{ id: 'k2', plaintextKey: `${PLANTED}-stream` }] }
  const path = await file('streaming.json', upstream)
  await json(['settings', 'set', 'STREAMING_TTS_UPSTREAM', '--file', path, '--reason', 'r'])
  const { version } = await json(['router', 'show'])

  const rotating = { LLM_ROUTER_MASTER_KEY: SECOND.toString('base64'), LLM_ROUTER_MASTER_KEY_PREVIOUS: MASTER }
  const rotated = { LLM_ROUTER_MASTER_KEY: SECOND.toString('base64') }
  const early = await fluxgate(['router', 'reseal', '--json'], { env: rotated })
  assert.equal(early.code, 1, 'without the previous key nothing opens')
  assert.equal(JSON.parse(early.out).closed.length, 2)

  const dry = await json(['router', 'reseal', '--dry-run'], { env: rotating })
  assert.deepEqual([dry.resealed.length, dry.version, dry.dry_run], [2, version, true])
  assert.equal((await json(['router', 'show'])).version, version)
  const done = await fluxgate(['router', 'reseal', '--reason', 'the yearly rotation'], {
    env: rotating,
    spawned: true,
  })
  assert.equal(done.code, 0, done.err)
  assert.match(
    done.out,
    /^resealed llm\.models\["chat"\]\.upstreams\[0\]\.keys\[0\]\nresealed STREAMING_TTS_UPSTREAM\.keys\[0\]\n/,
  )
  const stored = await storedConfig()
  assert.equal(stored.reason, 'the yearly rotation')
  assert.equal(opened(SECOND, 'chat', stored.document.llm.models.chat.upstreams[0].keys[0]), `${PLANTED}-rotated`)
  const again = await json(['router', 'reseal'], { env: rotated })
  assert.deepEqual([again.resealed, again.kept.length, again.closed], [[], 2, []])

  // Old versions keep what they were written with: taking one back says so.
  const back = await json(['router', 'rollback', String(version), '--reason', 'too far'], { env: rotated })
  const closed = back.warnings.filter(({ message }: { message: string }) => /does not open/.test(message))
  assert.deepEqual(
    closed.map(({ path }: { path: string }) => path),
    ['llm.models["chat"].upstreams[0].keys[0]'],
  )
})

const seedEnv = { OPENROUTER_KEY: `${PLANTED}-or`, AZURE_KEY: `${PLANTED}-az`, DASHSCOPE_KEY: `${PLANTED}-ds` }

test('seed: a dry run writes nothing, a reset begins anew, with the keys of the environment', async () => {
  const before = (await json(['router', 'show'])).etag
  const dry = await fluxgate(['router', 'seed', '--reset', '--dry-run'], { env: seedEnv })
  assert.equal(dry.code, 0, dry.err)
  assert.match(dry.out, /"<ciphertext: \d+ chars>"/)
  assert.match(dry.out, /\nmode {8}reset, a dry run: nothing was written\n/)
  assert.equal((await json(['router', 'show'])).etag, before)

  const done = await fluxgate(['router', 'seed', '--reset'], { env: seedEnv, spawned: true })
  assert.equal(done.code, 0, done.err)
  assert.match(
    done.out,
    /^mode {8}reset\nproviders {3}openrouter, azure, dashscope-cosyvoice\nllm\.models {2}chat-default\ntts\.models {2}microsoft\/v1, alibaba\/cosyvoice-v2\nversion {5}\d+\n$/,
  )
  assert.match(done.err, /^warning: .*chat-default.* has no price: .*FLUX_PER_1K_TOKENS/m)
  const { document, author, reason } = await storedConfig()
  assert.deepEqual([author, reason], ['cli', 'fluxgate router seed --reset'])
  assert.deepEqual(Object.keys(document.llm.models), ['chat-default'])
  const [chat] = document.llm.models['chat-default'].upstreams
  assert.equal(chat.overrideModel, 'openai/gpt-4o-mini')
  assert.equal(opened(FIRST, 'chat-default', chat.keys[0]), seedEnv.OPENROUTER_KEY)
  const [azure] = document.tts.models['microsoft/v1'].upstreams
  assert.equal(azure.adapterParams.region, 'eastasia')
  assert.equal(opened(FIRST, 'microsoft/v1', azure.keys[0]), seedEnv.AZURE_KEY)
  assert.equal(
    opened(FIRST, 'alibaba/cosyvoice-v2', document.tts.models['alibaba/cosyvoice-v2'].upstreams[0].keys[0]),
    seedEnv.DASHSCOPE_KEY,
  )
  const defaults = await json(['settings', 'list'])
  const settingOf = (name: string) => defaults.data.find(({ key }: { key: string }) => key === name).value
  assert.deepEqual([settingOf('DEFAULT_CHAT_MODEL'), settingOf('DEFAULT_TTS_MODEL')], ['chat-default', 'microsoft/v1'])
})

test('seed: merging touches what has a key and leaves the rest, also inside of a model', async () => {
  await json(['router', 'seed', '--reset'], { env: seedEnv })
  const before = (await storedConfig()).document
  const env = {
    OPENAI_API_KEY: `${PLANTED}-oa`,
    OPENAI_BASE_URL: 'https://proxy.test/v1',
    ANTHROPIC_API_KEY: `${PLANTED}-an`,
    GEMINI_API_KEY: `${PLANTED}-ge`,
  }
  const done = await json(['router', 'seed'], { env })
  assert.deepEqual(
    done.applied.map(({ kind, modelName }: { kind: string; modelName: string }) => [kind, modelName]),
    [
      ['openai', 'chat-default'],
      ['anthropic', 'claude-haiku-4-5'],
      ['gemini', 'gemini-2.5-flash'],
    ],
  )
  const { document } = await storedConfig()
  assert.deepEqual(document.tts, before.tts)
  const { upstreams } = document.llm.models['chat-default']
  assert.deepEqual(upstreams[0], before.llm.models['chat-default'].upstreams[0])
  // A key stays with the address that its environment names: sent elsewhere, it would be given away.
  assert.deepEqual([upstreams[1].id, upstreams[1].baseURL], ['openai', 'https://proxy.test/v1'])
  assert.equal(opened(FIRST, 'chat-default', upstreams[1].keys[0]), env.OPENAI_API_KEY)
  assert.equal(
    opened(FIRST, 'claude-haiku-4-5', document.llm.models['claude-haiku-4-5'].upstreams[0].keys[0]),
    env.ANTHROPIC_API_KEY,
  )
  assert.equal(done.version, (await json(['router', 'seed'], { env })).version, 'the same again is no new version')

  const rekeyed = await json(['router', 'seed'], { env: { OPENROUTER_KEY: `${PLANTED}-or2` } })
  assert.deepEqual(rekeyed.invalidatedKeys, ['LLM_ROUTER_CONFIG', 'DEFAULT_CHAT_MODEL'])
  const after = (await storedConfig()).document.llm.models['chat-default'].upstreams
  assert.equal(opened(FIRST, 'chat-default', after[0].keys[0]), `${PLANTED}-or2`)
  assert.deepEqual(after[1], upstreams[1])
})

test('seed: every flag', async () => {
  const flags = {
    'openrouter-model': 'x-ai/grok',
    'default-chat-model': 'chat-2',
    'azure-region': 'westeurope',
    'azure-tts-model': 'azure-2',
    'dashscope-tts-model': 'cosy-2',
    'dashscope-region': 'cn',
    'dashscope-upstream-model': 'cosyvoice-v3',
    'default-tts-model': 'cosy-2',
  }
  const words = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])
  await json(['router', 'seed', '--reset', ...words, '--reason', 'flags'], { env: seedEnv })
  const { document, reason } = await storedConfig()
  assert.equal(reason, 'flags')
  assert.equal(document.llm.models['chat-2'].upstreams[0].overrideModel, 'x-ai/grok')
  assert.match(document.tts.models['azure-2'].upstreams[0].baseURL, /^https:\/\/westeurope\.tts/)
  const [cosy] = document.tts.models['cosy-2'].upstreams
  assert.match(cosy.baseURL, /^https:\/\/dashscope\.aliyuncs\.com\//)
  assert.equal(cosy.adapterParams.model, 'cosyvoice-v3')
  assert.equal((await json(['settings', 'get', 'DEFAULT_TTS_MODEL'])).value, 'cosy-2')
})

test('settings are listed, read, written and removed', async () => {
  assert.equal((await fluxgate(['settings', 'get', 'FLUX_PER_REQUEST'])).out, '5\n')
  assert.deepEqual(await json(['settings', 'set', 'FLUX_PER_REQUEST', '7', '--reason', 'dearer']), {
    object: 'settings_change',
    keys: ['FLUX_PER_REQUEST'],
    warnings: [],
  })
  const shown = await json(['settings', 'get', 'FLUX_PER_REQUEST'])
  assert.deepEqual([shown.value, shown.author, shown.reason], [7, 'cli', 'dearer'])
  assert.match((await fluxgate(['settings', 'list'])).out, /^FLUX_PER_REQUEST +7 +cli, /m)
  assert.equal(
    (await fluxgate(['settings', 'set', 'FLUX_PER_REQUEST', '--unset', '--reason', 'r'])).out,
    'FLUX_PER_REQUEST is removed\n',
  )
  assert.equal((await json(['settings', 'get', 'FLUX_PER_REQUEST'])).set, false)
  assert.equal((await fluxgate(['settings', 'set', 'STRIPE_FLUX_PRODUCT_ID', 'prod_1', '--reason', 'r'])).code, 0)
  assert.equal((await fluxgate(['settings', 'get', 'STRIPE_FLUX_PRODUCT_ID'])).out, '"prod_1"\n')
  const unset = await fluxgate(['settings', 'get', 'FLUX_PER_1K_CHARS_TTS'])
  assert.deepEqual([unset.code, unset.out], [1, ''])
})

const key = { id: 'k', plaintextKey: `${PLANTED}\n` }
for (const [name, words, code, says, options = {}] of [
  [
    'nothing to seed',
    ['router', 'seed'],
    1,
    /set at least one of OPENROUTER_KEY, .*AZURE_KEY, DASHSCOPE_KEY in the env/,
  ],
  ['merge and reset', ['router', 'seed', '--merge', '--reset'], 2, /give one of --merge and --reset/],
  [
    'a key on the command line',
    ['router', 'seed', `--openrouter-key=${PLANTED}`],
    2,
    /Unknown option '--openrouter-key'/,
  ],
  [
    'a key that no header can carry',
    ['router', 'seed'],
    1,
    /AZURE_KEY begins or ends with white space\n$/,
    { env: { AZURE_KEY: `${PLANTED} ` } },
  ],
  [
    'a region that is a host',
    ['router', 'seed', '--azure-region', 'a.b/c'],
    1,
    /slices\[0\]\.region must be/,
    { env: { AZURE_KEY: PLANTED } },
  ],
  [
    'no master key',
    ['router', 'show'],
    1,
    /LLM_ROUTER_MASTER_KEY must be set too/,
    { env: { LLM_ROUTER_MASTER_KEY: '' } },
  ],
  [
    'a broken master key',
    ['router', 'show'],
    2,
    /LLM_ROUTER_MASTER_KEY must be the Base64 of 32 bytes/,
    { env: { LLM_ROUTER_MASTER_KEY: PLANTED }, spawned: true },
  ],
  ['a file that is not there', ['router', 'plan', '/nowhere/x.json'], 1, /cannot read \/nowhere\/x\.json: ENOENT/],
  ['a file that is no JSON', ['router', 'plan', '-'], 1, /\[body_invalid\]/, { stdin: `{"a": "${PLANTED}` }],
  [
    'a member that stands twice',
    ['router', 'plan', '-'],
    1,
    /the same key twice/,
    { stdin: `{"llm":{"models":{}},"llm":{"models":{}}}` },
  ],
  [
    'a config that is none',
    ['router', 'apply', '-', '--reason', 'r'],
    1,
    /^fluxgate: llm\.models\["chat"\]\.upstreams\[0\]\.keys\[0\]\.plaintextKey begins or ends with white space\. \[/,
    { stdin: JSON.stringify(config(key)) },
  ],
  ['apply without a reason', ['router', 'apply', '-'], 2, /--reason is missing/],
  ['a version that is none', ['router', 'show', 'x'], 2, /VERSION must be a number/],
  ['a version that is not there', ['router', 'rollback', '999999', '--reason', 'r'], 1, /\[not_found\]/],
  ['a page of none', ['router', 'history', '--limit', '0'], 2, /--limit must be/],
  [
    'a setting that is none',
    ['settings', 'set', 'FLUX_PER_REQEST', '1', '--reason', 'r'],
    1,
    /did you mean 'FLUX_PER_REQUEST'/,
  ],
  [
    'a value that is none',
    ['settings', 'set', 'FLUX_PER_REQUEST', 'many', '--reason', 'r'],
    1,
    /FLUX_PER_REQUEST must be a number/,
  ],
  [
    'a value and a file',
    ['settings', 'set', 'FLUX_PER_REQUEST', '1', '--unset', '--reason', 'r'],
    2,
    /give one of VALUE/,
  ],
  [
    'a key as a value',
    ['settings', 'set', 'STREAMING_TTS_UPSTREAM', `{"keys":[{"plaintextKey":"${PLANTED}"}]}`, '--reason', 'r'],
    2,
    /use --file/,
  ],
  [
    'a setting file that is no JSON',
    ['settings', 'set', 'STREAMING_TTS_UPSTREAM', '--file', '-', '--reason', 'r'],
    1,
    /the file is not JSON/,
    { stdin: PLANTED },
  ],
  ['an unknown setting', ['settings', 'get', 'NO_SUCH'], 1, /\[not_found\]/],
] as [string, string[], number, RegExp, Run?][])
  test(`refused with exit code ${code}: ${name}`, async () => {
    const result = await fluxgate(words, options)
    assert.equal(result.code, code, result.err)
    assert.match(result.err, says)
    assert.equal(result.out, '')
  })

test('show says of a version that cannot be used, and of keys that do not open', async () => {
  const { version } = await json(['router', 'show'])
  const bad = { ...config({ id: 'k1', ciphertext: 'v1.a.b.c' }), quantum: {} }
  await database.db.query(
    `insert into fluxgate.router_config (version, config, digest, author, reason, parent)
     values ($1::int8 + 1, $2, 'sha256:' || repeat('0', 64), 'x', 'by hand', $1)`,
    [version, JSON.stringify(bad)],
  )
  const { code, out, err } = await fluxgate(['router', 'show'])
  assert.equal(code, 0)
  assert.match(err, /\nwarning: gateways of this release cannot use it: quantum is not known here\n/)
  assert.match(err, /\nwarning: llm\.models\["chat"\]\.upstreams\[0\].keys\[0\] the iv is not /)
  assert.deepEqual(JSON.parse(out).quantum, {})
  const { problems, warnings } = await json(['router', 'show'])
  assert.deepEqual([problems.length, warnings.length], [2, 1])
  assert.equal((await json(['router', 'rollback', String(version), '--reason', 'mended'])).status, 'applied')
  assert.deepEqual((await json(['router', 'show'])).problems, [])
})

test('no key was printed by any command, and none is in the database', async () => {
  const { rows } = await database.db.query<{ row: string }>(
    'select t::text as row from fluxgate.router_config t union all select t::text from fluxgate.setting t',
  )
  const stored = rows.map(({ row }) => row).join('\n')
  assert(printed.length > 5_000 && stored.includes('v1.'))
  for (const [place, content] of Object.entries({ printed, stored })) {
    assert(
      !content.includes(PLANTED),
      `a key is ${place}: ${content.slice(content.indexOf(PLANTED) - 100).slice(0, 150)}`,
    )
    for (const master of [FIRST, SECOND])
      assert(!content.includes(master.toString('base64')), `a master key is ${place}`)
    assert(!/"v1\./.test(place === 'printed' ? content : ''), 'envelopes are stored and not shown')
  }
})
