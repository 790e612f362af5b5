import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const root = join(import.meta.dirname, '..')
const scratch = mkdtempSync(join(tmpdir(), 'price-book-'))
after(() => rmSync(scratch, { recursive: true }))

function build(...args: string[]): { status: number | null; stderr: string } {
  const tool = join(root, 'tools/build-price-book.ts')
  const { status, stderr } = spawnSync(process.execPath, [tool, ...args], { encoding: 'utf8', timeout: 20_000 })
  return { status, stderr }
}

function copyOfPrices(
  name: string,
  change: (corrections: { set: { was: unknown; reason: string }[] }) => void,
): string {
  const dir = join(scratch, name)
  cpSync(join(root, 'prices'), dir, { recursive: true })
  const path = join(dir, 'corrections.json')
  const corrections = JSON.parse(readFileSync(path, 'utf8'))
  change(corrections)
  writeFileSync(path, JSON.stringify(corrections))
  return dir
}

test('the committed price book is what its sources build', () => {
  assert.deepEqual(build('--check'), { status: 0, stderr: '' })
})

test('a price book that was edited by hand fails the check', () => {
  const dir = copyOfPrices('edited', () => {})
  const path = join(dir, 'price-book.json')
  writeFileSync(path, readFileSync(path, 'utf8').replace('"150000"', '"15000"'))
  const { status, stderr } = build('--check', '--dir', dir)
  assert.equal(status, 1)
  assert.match(stderr, /differs from a fresh build/)
})

test('a correction whose registry value has moved on fails the build', () => {
  const dir = copyOfPrices('stale', (corrections) => {
    for (const row of corrections.set.slice(0, 1)) row.was = 0.5
  })
  const { status, stderr } = build('--dir', dir)
  assert.equal(status, 1)
  assert.match(stderr, /gpt-5-2025-08-07: .*but the correction expects 0\.5/)
})

test('without the corrections the registry does not pass', () => {
  const dir = copyOfPrices('raw', (corrections) => {
    corrections.set = []
  })
  const { status, stderr } = build('--dir', dir)
  assert.equal(status, 1)
  for (const problem of [/max_input_tokens is zero/, /are one model and differ/, /no endpoint/])
    assert.match(stderr, problem)
})

test('an addition that does not say where it was read, and when, fails the build', () => {
  const dir = copyOfPrices('unsourced', () => {})
  const path = join(dir, 'additions.json')
  const additions = JSON.parse(readFileSync(path, 'utf8'))
  delete additions.entries['openai/tts-1'].source
  delete additions.entries['openai/whisper-1'].read
  writeFileSync(path, JSON.stringify(additions))
  const { status, stderr } = build('--dir', dir)
  assert.equal(status, 1)
  assert.match(stderr, /openai\/tts-1: the addition has no source/)
  assert.match(stderr, /openai\/whisper-1: nobody says when it was read/)
})
