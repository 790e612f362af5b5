import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statement } from '#test/receipt-vectors/document-vectors.ts'
import { checkStatement } from './statement.ts'

test('no statement is issued after the last day that can be written', () => {
  const last = { ...statement, day: '9999-12-31', issued_at: '2026-11-21T00:12:00.000Z' }
  assert.deepEqual(checkStatement(last), { ok: false, detail: 'it was issued before its day was over' })
  assert.equal(checkStatement(statement).ok, true)
})
