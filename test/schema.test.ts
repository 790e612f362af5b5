import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

test('schema.sql is what the migrations make', () => {
  const tool = fileURLToPath(new URL('../tools/dump-schema.ts', import.meta.url))
  const { status, stderr } = spawnSync(process.execPath, [tool, '--check'], { encoding: 'utf8', timeout: 60_000 })
  assert.equal(status, 0, stderr)
})
