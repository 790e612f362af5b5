import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { formOf, wavFile } from '#test/support/audio-files.ts'
import { createDatabaseDoor, type DatabaseDoor } from '#test/support/database-door.ts'
import { fakeAudio } from '#test/support/fakes/fake-vendor.ts'
import { ONE_USD, until } from '#test/support/gateway.ts'
import { createSpeechBench, nanosOf } from '#test/support/speech-bench.ts'

let door: DatabaseDoor | undefined
const bench = await createSpeechBench({
  env: { SETTLE_WAIT_MS: '300' },
  async through(url) {
    door = await createDatabaseDoor(url)
    return door.url
  },
})
after(async () => {
  await bench.close()
  await door?.close()
})

const { openai } = bench.fakes

test('the last byte of audio does not leave before its settlement, which is made up for', async () => {
  const project = await bench.openProject(ONE_USD)
  openai.failNext({ kind: 'slow', ms: 100 })
  const asked = openai.requests.length
  const reply = bench.say({ model: 'say/openai', input: 'Hello', voice: 'nova' }, { key: project.secret })
  await until('the vendor is asked', () => openai.requests.length > asked)
  door?.shut()
  const { body, whole } = await reply
  assert.equal(whole, false)
  assert.deepEqual(body, fakeAudio('openai', { text: 'Hello', voice: 'nova', format: 'mp3' }).subarray(0, -1))
  door?.reopen()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'complete')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(5)))
})

test('a transcription is told when it is settled, and not before', async () => {
  const project = await bench.openProject(ONE_USD)
  openai.failNext({ kind: 'slow', ms: 100 })
  const { body, type } = formOf([
    ['model', 'hear/whisper'],
    ['file', { name: 'two.wav', bytes: wavFile(2) }],
  ])
  const asked = openai.requests.length
  const reply = bench.chat(body, {
    key: project.secret,
    path: '/v1/audio/transcriptions',
    headers: { 'content-type': type },
  })
  await until('the provider is asked', () => openai.requests.length > asked)
  door?.shut()
  const { status, json } = await reply
  assert.equal(status, 503)
  assert.equal(json.error.code, 'settlement_pending')
  door?.reopen()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'complete')
})
