import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseForm } from './form.ts'

const read = (text: string) => structuredClone(parseForm(text))

test('forms are read as Stripe’s library writes them', () => {
  const cases: [form: string, read: unknown][] = [
    ['', {}],
    ['a=1', { a: '1' }],
    ['a=1&b=two%20words&c=', { a: '1', b: 'two words', c: '' }],
    ['a[b]=1&a[c][d]=2', { a: { b: '1', c: { d: '2' } } }],
    ['a%5Bb%5D=1', { a: { b: '1' } }],
    ['a[0]=x&a[1]=y', { a: ['x', 'y'] }],
    ['a[]=x&a[]=y', { a: ['x', 'y'] }],
    ['a[0][b]=1&a[0][c]=2&a[1][b]=3', { a: [{ b: '1', c: '2' }, { b: '3' }] }],
    [
      'line_items[0][price_data][product_data][name]=A%26B',
      { line_items: [{ price_data: { product_data: { name: 'A&B' } } }] },
    ],
    ['a=1&a=2', { a: '2' }],
    ['a=%E2%82%AC', { a: '€' }],
  ]
  for (const [form, expected] of cases) assert.deepEqual(read(form), expected, form)
})

test('forms that are none are refused', () => {
  for (const form of ['[a]=1', 'a[b=1', 'a]b[=1', 'a[5]=1', 'a[0]=1&a[b]=2', 'a=1&a[b]=2', 'a[b]=1&a=2', 'a[b][]c=1'])
    assert.throws(() => parseForm(form), /Invalid parameter/, form)
  assert.throws(() => parseForm(`a${'[b]'.repeat(20)}=1`), /Invalid parameter/)
})

test('names of objects are names like others', () => {
  const form = parseForm('__proto__[a]=1&constructor=2')
  assert.deepEqual(Object.keys(form), ['__proto__', 'constructor'])
  assert.equal(({} as { a?: string }).a, undefined)
})
