import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { createCredentials, KEY_CHARS_MAX, providerKeyProblem, type UndecryptableKey } from '#domain/credentials.ts'
import { keyPlacesOfConfig, keyPlacesOfSettings, resealKeys, sealKeys } from '#domain/credentials-in-config.ts'
import { deriveEnvelopeKey, openEnvelope, sealEnvelope } from '#lib/envelope.ts'
import { parseConfig } from '#src/config.ts'
import { openEnvelopeKeys } from '#src/envelope-keys.ts'
import { AppError } from '#src/errors.ts'

const current = deriveEnvelopeKey(Buffer.alloc(32, 1))
const previous = deriveEnvelopeKey(Buffer.alloc(32, 2))
const foreign = deriveEnvelopeKey(Buffer.alloc(32, 3))
const sealedWith = (key: typeof current, model: string, id: string, text: string) =>
  sealEnvelope(key, { modelName: model, keyEntryId: id }, Buffer.from(text))
const entry = (key: typeof current, model: string, id: string, text: string) => ({
  id,
  ciphertext: sealedWith(key, model, id, text),
})

function open() {
  const alarms: UndecryptableKey[] = []
  const credentials = createCredentials({ keys: { current, previous }, onUndecryptable: (key) => alarms.push(key) })
  return { credentials, alarms }
}

test('a key is opened for its use and named by its digest', () => {
  const { credentials, alarms } = open()
  for (const key of [current, previous]) {
    const opened = credentials.open('chat', entry(key, 'chat', 'k1', 'hello'))
    assert.equal(opened?.id8, '2cf24dba')
    assert.equal(
      opened?.use((text) => `Bearer ${text}`),
      'Bearer hello',
    )
    assert.equal(
      opened?.use((text) => text.length),
      5,
    )
    assert(!inspect(opened, { depth: 9, showHidden: true }).includes('hello'), 'it does not print')
  }
  assert.deepEqual(alarms, [])
})

test('what a reader throws is its own', () => {
  const opened = open().credentials.open('chat', entry(current, 'chat', 'k1', 'hello'))
  assert.throws(
    () =>
      opened?.use(() => {
        throw new RangeError('mine')
      }),
    { name: 'RangeError', message: 'mine' },
  )
})

test('a key that does not open is skipped with an alarm; the first one is marked', () => {
  const { credentials, alarms } = open()
  const lost = entry(foreign, 'chat', 'k1', 'hello')
  const moved = entry(current, 'other', 'k2', 'hello')
  const broken = { id: 'k3', ciphertext: 'v1.x' }
  for (const sealed of [lost, moved, broken, lost]) assert.equal(credentials.open('chat', sealed), undefined)
  assert.deepEqual(
    alarms.map(({ keyEntryId, first }) => [keyEntryId, first]),
    [
      ['k1', true],
      ['k2', true],
      ['k3', true],
      ['k1', false],
    ],
  )
  assert.match(alarms[2]?.reason ?? '', /expected 4 parts/)
  assert(!JSON.stringify(alarms).includes(lost.ciphertext.slice(3, 20)))
  assert.equal(credentials.open('chat', entry(current, 'chat', 'k4', 'works'))?.id8.length, 8, 'others still work')
})

test('an envelope that stops opening between two uses is decrypt_failed', () => {
  const sealed = entry(current, 'chat', 'k1', 'hello')
  const opened = open().credentials.open('chat', sealed)
  sealed.ciphertext = 'v1.changed'
  assert.throws(
    () => opened?.use(() => undefined),
    (error) => error instanceof AppError && error.code === 'decrypt_failed' && error.status === 503,
  )
})

for (const [name, text, problem] of [
  ['an ordinary key', 'sk-or-v1-abc', undefined],
  ['the longest', 'x'.repeat(KEY_CHARS_MAX), undefined],
  ['with a space inside', 'user pass', undefined],
  ['a service account', '{"type":"service_account",\n "private_key":"-----BEGIN\\n"}\n', undefined],
  ['nothing', '', 'is empty'],
  ['too long', 'x'.repeat(KEY_CHARS_MAX + 1), `is longer than ${KEY_CHARS_MAX} characters`],
  ['a line break at the end', 'sk-1\n', 'begins or ends with white space'],
  ['a line break inside', 'sk-1\nx-evil: 1', 'has characters other than visible ASCII'],
  ['other letters', 'schlüssel', 'has characters other than visible ASCII'],
  ['half a service account', '{"type":', 'begins like JSON and is none'],
] as const)
  test(`a provider key is checked: ${name}`, () => assert.equal(providerKeyProblem(text), problem))

const config = (keys: unknown[]) => ({
  llm: { models: { chat: { upstreams: [{ baseURL: 'https://a.test', keys }] } } },
})
const seal = (given: unknown, stored: unknown = undefined) =>
  sealKeys(open().credentials, keyPlacesOfConfig(given), keyPlacesOfConfig(stored))
const at = 'llm.models["chat"].upstreams[0].keys[0]'

test('plaintext keys are sealed in place, on every surface and in settings', () => {
  const key = () => ({ id: 'k1', plaintextKey: 'sk-planted', weight: 2 })
  const model = (name: string) => ({ models: { [name]: { upstreams: [{ keys: [key()] }, { keys: [key()] }] } } })
  const given = { llm: model('a'), embedding: model('b'), tts: model('c'), asr: model('d') }
  assert.deepEqual(seal(given), [])
  const places = keyPlacesOfConfig(given)
  assert.equal(places.length, 8)
  for (const { modelName, entry } of places) {
    assert.deepEqual(Object.keys(entry).sort(), ['ciphertext', 'id', 'weight'])
    const binding = { modelName, keyEntryId: 'k1' }
    assert.equal(
      openEnvelope({ current, previous }, binding, String(entry.ciphertext)).plaintext.toString(),
      'sk-planted',
    )
  }
  for (const [name, value] of [
    ['STREAMING_TTS_UPSTREAM', { keys: [key()] }],
    ['UNSPEECH_UPSTREAM', { streaming: { keys: [key()] } }],
  ] as const) {
    const [place] = keyPlacesOfSettings({ [name]: value })
    assert(place)
    assert.deepEqual(sealKeys(open().credentials, [place], []), [])
    assert.match(String(place.entry.ciphertext), /^v1\./)
    assert.equal(place.modelName, 'streaming-tts')
  }
  assert.deepEqual(keyPlacesOfSettings({ DEFAULT_CHAT_MODEL: 'chat' }), [])
})

test('a key that says what is stored already keeps its envelope; one under the previous master key does not', () => {
  for (const [key, same] of [
    [current, true],
    [previous, false],
  ] as const) {
    const stored = config([entry(key, 'chat', 'k1', 'sk-planted')])
    const given = config([{ id: 'k1', plaintextKey: 'sk-planted' }])
    assert.deepEqual(seal(given, stored), [])
    assert.equal(keyPlacesOfConfig(given)[0]?.entry.ciphertext === keyPlacesOfConfig(stored)[0]?.entry.ciphertext, same)
  }
})

for (const [name, key, problem] of [
  ['a plaintext that is no text', { id: 'k1', plaintextKey: 7 }, [`${at}.plaintextKey`, 'must be text']],
  ['an empty plaintext', { id: 'k1', plaintextKey: '' }, [`${at}.plaintextKey`, 'is empty']],
  [
    'a plaintext beside a ciphertext',
    { id: 'k1', plaintextKey: 'sk-planted', ciphertext: 'v1.a.b.c' },
    [`${at}.plaintextKey`, 'stands beside a ciphertext: give one of them'],
  ],
  ['no id', { plaintextKey: 'sk-planted' }, [`${at}.id`, "must be text that is not empty and has no '|'"]],
  ['an id with a bar', { id: 'a|b', plaintextKey: 'sk-planted' }, [`${at}.id`, /has no '\|'/]],
  [
    'an envelope of another master key',
    entry(foreign, 'chat', 'k1', 'sk-planted'),
    [`${at}.ciphertext`, /does not open/],
  ],
  ['an envelope of another model', entry(current, 'other', 'k1', 'sk-planted'), [`${at}.ciphertext`, /does not open/]],
] as const)
  test(`refused, and nothing of the key stays: ${name}`, () => {
    const given = config([{ ...key }])
    const problems = seal(given)
    assert.equal(problems.length, 1)
    assert.equal(problems[0]?.path, problem[0])
    assert.match(problems[0]?.message ?? '', problem[1] instanceof RegExp ? problem[1] : new RegExp(`^${problem[1]}$`))
    assert(!JSON.stringify([given, problems]).includes('sk-planted'))
  })

test('placeholders and envelopes that are stored already pass unopened', () => {
  const lost = entry(foreign, 'chat', 'k1', 'sk-planted')
  assert.deepEqual(seal(config([{ id: 'k1', ciphertext: '<ciphertext: 71 chars>' }])), [])
  assert.deepEqual(seal(config([lost]), config([lost])), [], 'a key that is lost does not stop every other change')
})

test('shapes that make no sense are left to the parser', () => {
  for (const value of [undefined, null, 1, 'x', [], { llm: [] }, { llm: { models: { a: { upstreams: [null, 1] } } } }])
    assert.deepEqual(keyPlacesOfConfig(value), [])
  assert.deepEqual(keyPlacesOfConfig(config([null, 'x', 1])), [])
})

test('resealing touches what the previous master key sealed and nothing else', () => {
  const mine = entry(current, 'chat', 'k1', 'sk-1')
  const old = entry(previous, 'chat', 'k2', 'sk-2')
  const lost = entry(foreign, 'chat', 'k3', 'sk-3')
  const document = structuredClone(config([mine, old, lost]))
  const { credentials, alarms } = open()
  const done = resealKeys(credentials, keyPlacesOfConfig(document))
  const path = (index: number) => `llm.models["chat"].upstreams[0].keys[${index}]`
  assert.deepEqual([done.kept, done.resealed, done.closed.map((key) => key.path)], [[path(0)], [path(1)], [path(2)]])
  const [first, second, third] = keyPlacesOfConfig(document).map((place) => place.entry)
  assert.deepEqual([first, third], [mine, lost])
  assert.notEqual(second?.ciphertext, old.ciphertext)
  // With the previous key gone, it still opens.
  const opened = openEnvelope(
    { current, previous: undefined },
    { modelName: 'chat', keyEntryId: 'k2' },
    String(second?.ciphertext),
  )
  assert.equal(opened.plaintext.toString(), 'sk-2')
  assert.deepEqual(resealKeys(credentials, keyPlacesOfConfig(document)).resealed, [], 'a second run finds nothing')
  assert.deepEqual(alarms, [], 'an operator who reads the answer needs no alarm')
})

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-master-'))
})
after(() => rm(folder, { recursive: true }))

test('the master key is made once in DATA_DIR, for its owner only', async () => {
  const config = parseConfig({ DATA_DIR: join(folder, 'data') })
  const [one, two] = await Promise.all([openEnvelopeKeys(config), openEnvelopeKeys(config)])
  assert(one.current.equals(two.current))
  assert.deepEqual(await readdir(config.DATA_DIR), ['llm-router-master-key'])
  const path = join(config.DATA_DIR, 'llm-router-master-key')
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  const stored = Buffer.from(await readFile(path, 'ascii'), 'base64')
  assert(deriveEnvelopeKey(stored).equals(one.current))
})

test('master keys from the environment; with DATABASE_URL there is no other way', async () => {
  const [now, before] = [randomBytes(32), randomBytes(32)]
  const DATABASE_URL = 'postgres://nobody@127.0.0.1/x'
  const keys = await openEnvelopeKeys(
    parseConfig({
      DATABASE_URL,
      LLM_ROUTER_MASTER_KEY: now.toString('base64'),
      LLM_ROUTER_MASTER_KEY_PREVIOUS: before.toString('base64'),
    }),
  )
  assert(keys.current.equals(deriveEnvelopeKey(now)))
  assert(keys.previous?.equals(deriveEnvelopeKey(before)))
  await assert.rejects(openEnvelopeKeys(parseConfig({ DATABASE_URL })), /LLM_ROUTER_MASTER_KEY must be set too/)
})

for (const text of ['short', 'ab'.repeat(32), Buffer.alloc(31, 7).toString('base64'), `${'A'.repeat(42)}B=`])
  test(`a master key of another form stops the start without being repeated: ${text.length} characters`, () => {
    assert.throws(
      () => parseConfig({ LLM_ROUTER_MASTER_KEY: text, LLM_ROUTER_MASTER_KEY_PREVIOUS: text }),
      ({ message }: Error) =>
        /LLM_ROUTER_MASTER_KEY must be the Base64 of 32 bytes\n- LLM_ROUTER_MASTER_KEY_PREVIOUS must be/.test(
          message,
        ) && !message.includes(text),
    )
  })
