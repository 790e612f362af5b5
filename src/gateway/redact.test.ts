import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redact } from './redact.ts'

const CREDENTIAL = 'fw+live/abc.def=='

const forms: [name: string, text: string][] = [
  ['as it is', CREDENTIAL],
  ['with escaped slashes', 'fw+live\\/abc.def=='],
  ['with escaped characters', 'fw\\u002blive\\u002Fabc.def\\u003D\\u003d'],
  ['escaped twice', 'fw\\\\u002blive\\\\/abc.def=='],
  ['escaped for a URL', encodeURIComponent(CREDENTIAL)],
  ['in other letters', CREDENTIAL.toUpperCase()],
]
for (const [name, text] of forms)
  test(`our own credential is taken out: ${name}`, () => {
    assert.equal(redact(`no: ${text}, again ${text}.`, CREDENTIAL), 'no: [redacted], again [redacted].')
  })

test('the spaces around a credential are none of it', () => {
  assert.equal(redact(`no: ${CREDENTIAL}!`, `${CREDENTIAL}\n`), 'no: [redacted]!')
})

test('a target without a credential has none to take out', () => {
  for (const credential of [undefined, '', '\n']) assert.equal(redact('as it was', credential), 'as it was')
})

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl'
const shapes = [
  'sk-proj-abcDEF123456789',
  'sk-sim-1********cret',
  'AKIAIOSFODNN7EXAMPLE',
  'hf_abcdefGHIJ0123456789',
  JWT,
  'pplx-0123456789abcdef',
  'r8_0123456789abcdefABCD',
  'nvapi-0123456789_-abcdef',
  'gsk_0123456789abcdef',
  'xai-0123456789abcdef',
  'AIzaSyA0123456789abcdefghij',
]
for (const key of shapes)
  test(`the key of somebody else is taken out: ${key.slice(0, 8)}`, () => {
    assert.equal(redact(`"${key}" is off`, undefined), '"[redacted]" is off')
  })

test('a token behind its scheme is taken out, the scheme stays', () => {
  assert.equal(redact('got Bearer ab12.cd~ef+gh/==, no', undefined), 'got Bearer [redacted], no')
  assert.equal(redact(`authorization: bearer "${JWT}"`, undefined), 'authorization: bearer "[redacted]"')
})

test('what a URL says of its user is taken out', () => {
  assert.equal(redact('at https://user:p%40ss@host/v1?x=1', undefined), 'at https://[redacted]@host/v1?x=1')
  assert.equal(redact('at https://host/v1 of a@b', undefined), 'at https://host/v1 of a@b')
})

const harmless = [
  'skip_special_tokens: no',
  'key_word_arguments are unknown',
  'Bearer authentication is needed',
  'messages[0].content[1].image_url',
  'this model has 128000 tokens at most',
]
for (const text of harmless)
  test(`what only looks like a key stays: ${text}`, () => {
    assert.equal(redact(text, CREDENTIAL), text)
  })

test('64 KB that were written to take long do not', () => {
  const started = performance.now()
  for (const unit of ['sk-', '\\', '://', 'Bearer ', 'eyJ', 'AIza', 'fw', '\\u0066', 'AKIA', 'a.', '@', '*'])
    redact(unit.repeat(65_536 / unit.length), CREDENTIAL)
  assert(performance.now() - started < 2_000, `${performance.now() - started} ms`)
})
