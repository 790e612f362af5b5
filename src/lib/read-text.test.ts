import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { readText } from './read-text.ts'

test('a character split between chunks comes out whole', async () => {
  const [head, tail] = [Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)]
  assert.equal(await readText(Readable.from([head, tail]), 2), 'é')
})

test('text chunks count as bytes', async () => {
  assert.equal(await readText(Readable.from(['é', 'b']), 3), 'éb')
  await assert.rejects(readText(Readable.from(['é', 'b']), 2), { name: 'TooLongError' })
})

test('an endless source is left at the limit', async () => {
  let chunks = 0
  const endless = Readable.from(
    (function* () {
      for (;;) {
        chunks += 1
        yield Buffer.alloc(1000)
      }
    })(),
  )
  await assert.rejects(readText(endless, 10_000), { name: 'TooLongError', message: 'longer than 10000 bytes' })
  assert.ok(chunks < 100, `${chunks} chunks`)
  assert.ok(endless.destroyed)
})

test('bytes that are not UTF-8 are refused, not replaced', async () => {
  await assert.rejects(readText(Readable.from([Buffer.from([0x22, 0xff, 0x22])]), 10), TypeError)
})
