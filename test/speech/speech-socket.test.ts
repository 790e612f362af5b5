import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { WebSocket } from 'ws'
import { startFakeUnspeech, UNSPEECH_KEY } from '#test/support/fakes/fake-unspeech.ts'
import { ONE_USD, until } from '#test/support/gateway.ts'
import { createSpeechBench, nanosOf, perCharacter } from '#test/support/speech-bench.ts'
import { openSpeechClient } from '#test/support/speech-client.ts'

const unspeech = await startFakeUnspeech()
const bench = await createSpeechBench({ env: { IDLE_TIMEOUT_MS: '3000' } })
after(async () => {
  await bench.close()
  await unspeech.close()
})

const upstream = {
  baseURL: unspeech.url,
  keys: [
    { id: 'one', plaintextKey: `${UNSPEECH_KEY}-one` },
    { id: 'two', plaintextKey: `${UNSPEECH_KEY}-two` },
  ],
  price: perCharacter,
}
const TEXT = 'Good morning 😀'
const CHARACTERS = [...TEXT].length
const START = { event: 'start', model: 'volcengine/tts', voice: 'zh_female' }
const text = (said = TEXT) => ({ event: 'text', text: said })
const FINISH = { event: 'finish' }

test('without a setting there is no such service', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  assert.deepEqual(await client.closed(), { close: 1008, code: 'streaming_tts_not_configured' })
})

test('the setting is written', async () => {
  await bench.set({ STREAMING_TTS_UPSTREAM: upstream })
  await until('the gateway has it', async () => {
    const project = await bench.openProject(ONE_USD)
    const client = await openSpeechClient(bench.url, { token: project.secret })
    client.say(START)
    await until('something is heard', () => client.frames.length > 0)
    client.socket.terminate()
    return client.events().includes('session.started')
  })
})

const ways = [
  ['a token in the address', (key: string) => ({ token: key })],
  ['a subprotocol', (key: string) => ({ protocols: ['fluxgate', `fluxgate-key.${key}`] })],
  ['a header', (key: string) => ({ headers: { authorization: `Bearer ${key}` } })],
] as const

for (const [what, how] of ways) {
  test(`speaks to a client with ${what}, and charges what the vendor says`, async () => {
    const project = await bench.openProject(ONE_USD)
    const client = await openSpeechClient(bench.url, how(project.secret))
    client.say(START)
    client.say(text())
    client.say(text('and good night'))
    client.say(FINISH)
    await client.heard('session.finished')
    const [receipt] = await project.settled(1)
    assert.deepEqual(await client.closed(), { close: 1000, code: undefined })
    assert.deepEqual(client.events(), ['session.started', 'sentence.start', 'sentence.start', 'session.finished'])
    assert.equal(client.audioBytes(), 200)
    const characters = CHARACTERS + 'and good night'.length
    assert.equal(receipt?.outcome, 'complete')
    assert.equal(receipt?.model, 'volcengine/tts')
    assert.deepEqual(receipt?.usage, { characters })
    assert.equal(receipt?.usage_source, 'provider')
    assert.equal(receipt?.charged_nanousd, String(nanosOf(characters)))
  })
}

test('a key in the first frame is as good, and no key is in the log', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url)
  client.say({ event: 'authenticate', token: project.secret })
  client.say(START)
  client.say(text())
  client.say(FINISH)
  await client.heard('session.finished')
  await project.settled(1)
  assert.equal(bench.log.text().includes(project.secret), false)
})

for (const [what, run] of [
  ['a token that is none', () => openSpeechClient(bench.url, { token: 'sk-nobody' })],
  [
    'a first frame that shows none',
    async () => {
      const client = await openSpeechClient(bench.url)
      client.say(START)
      return client
    },
  ],
] as const)
  test(`${what}: closed 4001 without a word`, async () => {
    const client = await run()
    assert.deepEqual(await client.closed(), { close: 4001, code: undefined })
    assert.deepEqual(client.frames, [])
  })

test('an empty wallet: insufficient_flux, and nobody is dialled', async () => {
  const project = await bench.openProject(0n)
  const dialled = unspeech.sessions.length
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  assert.deepEqual(await client.closed(), { close: 1008, code: 'insufficient_flux' })
  assert.equal(unspeech.sessions.length, dialled)
})

test('a wallet that runs dry: what was paid is spoken, the rest never reaches the vendor', async () => {
  const project = await bench.openProject(nanosOf(250))
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  for (const said of ['a'.repeat(100), 'b'.repeat(100), 'c'.repeat(100), 'd'.repeat(20)]) client.say(text(said))
  assert.deepEqual(await client.closed(), { close: 1008, code: 'insufficient_flux' })
  assert(client.events().includes('session.finished'))
  assert.equal(unspeech.sessions.at(-1)?.characters, 200)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'cut_off')
  assert.equal(receipt?.reason, 'insufficient_credits')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(200)))
})

test('a client that leaves has paid for what was sent, and the vendor is let go', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  client.say(text())
  await client.heard('sentence.start')
  client.socket.terminate()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  assert.deepEqual(receipt?.usage, { characters: CHARACTERS })
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
  await until('the vendor is let go', () => unspeech.sessions.at(-1)?.closed === true)
})

test('a client that leaves while the vendor is dialled leaves nothing behind', async () => {
  const project = await bench.openProject(ONE_USD)
  unspeech.planNext({ start: 'silent' })
  const dialled = unspeech.sessions.length
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  await until('the vendor is dialled', () => unspeech.sessions.length > dialled)
  client.socket.terminate()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'void')
  assert.equal(receipt?.charged_nanousd, '0')
  await until('the vendor is let go', () => unspeech.sessions.at(-1)?.closed === true)
})

test('one that cancels has paid for what was sent', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  client.say(text())
  client.say({ event: 'cancel' })
  assert.equal((await client.closed()).close, 1000)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
})

test('a session in which nothing was said costs nothing', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  client.say(FINISH)
  assert.equal((await client.closed()).close, 1000)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'void')
})

for (const [what, plan, result] of [
  ['a refused key', { status: 401 }, 'status_401'],
  ['a vendor that fails', { status: 500 }, 'status_500'],
  ['an error before the session has begun', { start: 'error' }, 'error_in_stream'],
  ['a line that is closed before that', { start: 'close' }, 'cut'],
] as const) {
  test(`${what} moves on to the next key`, async () => {
    const other = await createSpeechBench()
    try {
      await other.set({ STREAMING_TTS_UPSTREAM: upstream })
      await until('the setting serves', async () => {
        const ready = await other.chat(undefined, { method: 'GET', path: '/readyz' })
        return ready.status === 200
      })
      const project = await other.openProject(ONE_USD)
      unspeech.planNext(plan)
      let client = await openSpeechClient(other.url, { token: project.secret })
      client.say(START)
      client.say(text())
      client.say(FINISH)
      await client.closed()
      if (client.frames.at(-1)?.code === 'streaming_tts_not_configured') {
        await until('the setting serves', async () => {
          client = await openSpeechClient(other.url, { token: project.secret })
          client.say(START)
          client.say(text())
          client.say(FINISH)
          await client.closed()
          return client.frames.at(-1)?.code !== 'streaming_tts_not_configured'
        })
      }
      assert(client.events().includes('session.finished'), JSON.stringify(client.frames))
      const [receipt] = await project.settled(1)
      assert.deepEqual(
        receipt?.attempt_list?.map((attempt) => attempt.result),
        [result, 'ok'],
      )
      assert.deepEqual(
        unspeech.sessions.slice(-2).map(({ key }) => key.slice(-3)),
        ['one', 'two'],
      )
    } finally {
      await other.close()
    }
  })
}

test('a vendor that breaks off: upstream_error, and what was sent is paid', async () => {
  const project = await bench.openProject(ONE_USD)
  unspeech.planNext({ cutAfter: 1 })
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  client.say(text())
  assert.deepEqual(await client.closed(), { close: 1000, code: 'upstream_error' })
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'upstream_error')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
})

test('an error of the vendor passes on, then ours', async () => {
  const project = await bench.openProject(ONE_USD)
  unspeech.planNext({ errorAfter: 1 })
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  client.say(text())
  assert.deepEqual(await client.closed(), { close: 1000, code: 'upstream_error' })
  assert.deepEqual(client.frames.at(-2), { event: 'error', payload: { code: 'vendor_gone', message: 'sorry' } })
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.reason, 'vendor_vendor_gone')
})

for (const [what, usage, source] of [
  ['nothing', null, 'counted'],
  ['zero', { text_words: 0 }, 'counted'],
  ['a thousand times as much', { text_words: CHARACTERS * 1000 }, 'counted'],
  ['a fraction', { text_words: CHARACTERS + 0.9 }, 'provider'],
] as const) {
  test(`a vendor that reports ${what}: what can have been spoken is charged`, async () => {
    const project = await bench.openProject(ONE_USD)
    unspeech.planNext({ usage })
    const client = await openSpeechClient(bench.url, { token: project.secret })
    client.say(START)
    client.say(text())
    client.say(FINISH)
    await client.heard('session.finished')
    const [receipt] = await project.settled(1)
    assert.equal(receipt?.usage_source, source)
    assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
  })
}

for (const [what, frames, code] of [
  ['text before the start', [text()], 'invalid_start_frame'],
  ['a start that carries text', [{ ...START, text: 'for nothing' }], 'invalid_start_frame'],
  ['a frame that is no JSON', [START, '{'], 'invalid_frame'],
  ['an event that is none', [START, { event: 'say', text: 'for nothing' }], 'invalid_frame'],
  ['a second start', [START, START], 'invalid_frame'],
  ['a text that is too long', [START, text('x'.repeat(5001))], 'text_too_long'],
] as const) {
  test(`${what}: ${code}`, async () => {
    const project = await bench.openProject(ONE_USD)
    const client = await openSpeechClient(bench.url, { token: project.secret })
    for (const frame of frames) client.say(frame)
    assert.deepEqual(await client.closed(), { close: 1008, code })
    await until('nothing is held', async () => (await project.wallet()).heldNanos === 0n)
    assert.equal((await project.wallet()).postedNanos, ONE_USD)
  })
}

test('frames that come too fast: rate_limited; what was sent before is paid', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  await client.heard('session.started')
  for (let sent = 0; sent < 400; sent += 1) client.say(text('x'))
  const end = await client.closed()
  assert.equal(end.close, 1008)
  assert(end.code === 'rate_limited' || end.code === 'backlog', String(end.code))
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'cut_off')
  assert.equal(receipt?.usage.characters, unspeech.sessions.at(-1)?.characters)
})

test('a frame that is larger than any: 1009', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(text('x'.repeat(70_000)))
  assert.equal((await client.closed()).close, 1009)
})

test('silence on both sides ends a session', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  client.say(text())
  assert.deepEqual(await client.closed(8_000), { close: 1008, code: 'idle_timeout' })
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.reason, 'idle_timeout')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
})

test('no other address can be upgraded', async () => {
  const socket = new WebSocket(`${bench.url.replace('http', 'ws')}/v1/audio/speech`)
  const [error] = (await once(socket, 'error')) as [Error]
  assert.match(error.message, /404/)
})

test('models that are not enabled are refused, and the default stands in for none', async () => {
  await bench.set({
    STREAMING_TTS_UPSTREAM: { ...upstream, models: [{ id: 'volcengine/tts' }], defaultModel: 'volcengine/tts' },
  })
  const project = await bench.openProject(ONE_USD)
  await until('the setting serves', async () => {
    const client = await openSpeechClient(bench.url, { token: project.secret })
    client.say({ ...START, model: 'another' })
    await until('something is heard', () => client.frames.length > 0)
    client.socket.terminate()
    return client.frames[0]?.code === 'streaming_tts_model_not_enabled'
  })
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say({ event: 'start', voice: 'zh_female' })
  client.say(text())
  client.say(FINISH)
  await client.closed()
  assert.equal(unspeech.sessions.at(-1)?.frames[0]?.model, 'volcengine/tts')
})

test('a stop of the gateway settles the session and says so', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = await openSpeechClient(bench.url, { token: project.secret })
  client.say(START)
  client.say(text())
  await client.heard('sentence.start')
  await bench.closeApp(0)
  assert.deepEqual(await client.closed(), { close: 1001, code: 'shutting_down' })
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'cut_off')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
})
