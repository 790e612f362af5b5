import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMailAddress } from './mail-address.ts'

const rows: [string, boolean][] = [
  ['ada@example.com', true],
  ["o'neill+flux=1@sub.example.co.uk", true],
  ['grün@beispiel.de', true],
  ['root@localhost', true],
  ['', false],
  ['ada', false],
  ['@example.com', false],
  ['ada@', false],
  ['ada@-', false],
  ['ada@example.com\r\nbcc: eve@example.com', false],
  ['ada@example.com\n', false],
  ['ada@example.com,eve@example.com', false],
  ['ada@example.com;eve@example.com', false],
  ['ada@eve@example.com', false],
  ['"ada"@example.com', false],
  ['<ada@example.com>', false],
  ['Ada ada@example.com', false],
  ['ada@exam\u0000ple.com', false],
  [`${'a'.repeat(65)}@example.com`, false],
  [`a@${'b'.repeat(300)}`, false],
]

for (const [text, expected] of rows)
  test(`${JSON.stringify(text.slice(0, 60))} is ${expected ? 'an address' : 'none'}`, () => {
    assert.equal(isMailAddress(text), expected)
  })
