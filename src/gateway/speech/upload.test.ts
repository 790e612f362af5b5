import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { createUpload } from './upload.ts'

test('a file that comes byte by byte counts with what its pieces take, and is let go whole', async () => {
  const file = new PassThrough({ highWaterMark: 1 })
  let held = 0
  const upload = createUpload(file, {
    keptBytesMax: 10_000,
    fileBytesMax: 1_000_000,
    hold: (bytes) => {
      held += bytes
    },
    release: (bytes) => {
      held -= bytes
    },
  })
  for (let n = 0; n < 100; n += 1) file.write(Buffer.from('x'))
  file.end()
  await upload.arrived(100)
  assert(file.isPaused())
  assert(held >= 10_000 && upload.total() < 50)
  let read = 0
  for await (const piece of upload.read()) read += piece.length
  assert.equal(read, 100)
  upload.close()
  assert.equal(held, 0)
})
