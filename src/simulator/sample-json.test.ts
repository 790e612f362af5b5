import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sampleJson } from './sample-json.ts'

const tree = {
  $ref: '#/$defs/node',
  $defs: { node: { type: 'object', properties: { kids: { type: 'array', items: { $ref: '#/$defs/node' } } } } },
}

for (const { name, schema, want } of [
  { name: 'no schema', schema: undefined, want: 'sample' },
  { name: 'an object without properties', schema: { type: 'object' }, want: {} },
  {
    name: 'properties of every type',
    schema: {
      type: 'object',
      properties: {
        text: { type: 'string' },
        size: { type: 'integer', minimum: 3 },
        share: { type: 'number', exclusiveMaximum: 1 },
        on: { type: 'boolean' },
        none: { type: 'null' },
        list: { type: 'array', items: { type: 'integer' }, minItems: 2 },
      },
    },
    want: { text: 'sample', size: 3, share: 0, on: true, none: null, list: [1, 1] },
  },
  { name: 'the first of an enum', schema: { enum: ['celsius', 'kelvin'] }, want: 'celsius' },
  { name: 'a constant', schema: { const: 7 }, want: 7 },
  { name: 'a default', schema: { type: 'string', default: 'x' }, want: 'x' },
  { name: 'a nullable type', schema: { type: ['string', 'null'] }, want: 'sample' },
  { name: 'a date', schema: { type: 'string', format: 'date' }, want: '2026-01-01' },
  { name: 'an unknown format', schema: { type: 'string', format: 'constructor' }, want: 'sample' },
  { name: 'lengths', schema: { type: 'string', minLength: 8, maxLength: 9 }, want: 'sample..' },
  { name: 'the first of a union', schema: { anyOf: [{ type: 'integer' }, { type: 'null' }] }, want: 1 },
  {
    name: 'all of several objects',
    schema: { allOf: [{ properties: { a: { const: 1 } } }, { properties: { b: { const: 2 } } }] },
    want: { a: 1, b: 2 },
  },
  { name: 'a reference that leads nowhere', schema: { $ref: '#/nothing' }, want: 'sample' },
]) {
  test(`sampleJson: ${name}`, () => assert.deepEqual(sampleJson(schema), want))
}

test('a schema that refers to itself ends', () => {
  assert.ok(JSON.stringify(sampleJson(tree)).length < 200)
})

test('a schema that branches without end stays small', () => {
  const wide = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`p${at}`, { $ref: '#' }]))
  assert.ok(JSON.stringify(sampleJson({ type: 'object', properties: wide })).length < 100_000)
})
