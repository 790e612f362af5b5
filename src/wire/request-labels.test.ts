import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseLabels } from './request-labels.ts'

/** A header value as Node hands it over: bytes as Latin-1. */
const wire = (text: string) => Buffer.from(text).toString('latin1')

test('labels are read from their headers, and absent ones stay absent', () => {
  assert.deepEqual(parseLabels({}), {})
  assert.deepEqual(parseLabels({ 'x-fluxgate-alias': 'summariser', 'x-other': 'a' }), { aliasName: 'summariser' })
  assert.deepEqual(parseLabels({ 'x-fluxgate-alias': '', 'x-fluxgate-profile': 'dev', 'x-fluxgate-origin': 'ci' }), {
    profile: 'dev',
    origin: 'ci',
  })
})

const accepted: [name: string, text: string][] = [
  ['ASCII', 'a b/c:d~'],
  ['accents and CJK', 'résumé 日本語'],
  ['right-to-left letters', 'שלום مرحبا'],
  ['255 letters', 'x'.repeat(255)],
  ['255 emoji', '🚀'.repeat(255)],
  ['what looks like an injection', `'; drop table wallet; --`],
]
for (const [name, text] of accepted)
  test(`a label may be ${name}`, () => {
    assert.deepEqual(parseLabels({ 'x-fluxgate-alias': wire(text) }), { aliasName: text })
  })

const refused: [name: string, raw: string | string[], message: RegExp][] = [
  ['256 letters', 'x'.repeat(256), /at most 255/],
  ['256 emoji', wire('🚀'.repeat(256)), /at most 255/],
  ['Latin-1 that is no UTF-8', '\xe9', /UTF-8/],
  ['half of a character', wire('日').slice(0, 2), /UTF-8/],
  ['an overlong form', '\xc0\xaf', /UTF-8/],
  ['a tab', 'a\tb', /control/],
  ['DEL', 'a\x7f', /control/],
  ['a C1 control character', wire('\u0085'), /control/],
  ['text turned around', wire('a\u202eb'), /control/],
  ['text in an isolate', wire('a\u2066b\u2069'), /control/],
  ['a right-to-left mark', wire('a\u200f'), /control/],
  ['a line separator', wire('a\u2028b'), /control/],
  ['a paragraph separator', wire('a\u2029b'), /control/],
  ['two headers', ['a', 'b'], /once/],
]
for (const [name, raw, message] of refused)
  test(`a label may not be ${name}`, () => {
    const problem = parseLabels({ 'x-fluxgate-profile': raw })
    assert('header' in problem)
    assert.equal(problem.header, 'x-fluxgate-profile')
    assert.match(problem.message, message)
  })

test('the digest of a lockfile is kept as it came, or refused', () => {
  assert.deepEqual(parseLabels({ 'x-fluxgate-lock-digest': 'ab12' }), { lockDigest: 'ab12' })
  assert.deepEqual(parseLabels({ 'x-fluxgate-lock-digest': '' }), {})
  for (const digest of ['a b', 'a'.repeat(129), ['a', 'b'], 'é'])
    assert('header' in parseLabels({ 'x-fluxgate-lock-digest': digest }), String(digest))
})
