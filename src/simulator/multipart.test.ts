import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createFormReader, findBoundary } from './multipart.ts'

interface PartText {
  headers: string
  content: string
}

function bodyOf(parts: readonly PartText[], boundary = 'b'): Buffer {
  const texts = parts.map(({ headers, content }) => `--${boundary}\r\n${headers}\r\n\r\n${content}\r\n`)
  return Buffer.from(`${texts.join('')}--${boundary}--\r\n`)
}

function field(name: string, content: string): PartText {
  return { headers: `Content-Disposition: form-data; name="${name}"`, content }
}

function fileOf(content: string): PartText {
  const headers = 'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg'
  return { headers, content }
}

function read(body: Buffer, cuts: readonly number[] = []): ReturnType<ReturnType<typeof createFormReader>['end']> {
  const reader = createFormReader('b')
  const places = [0, ...cuts.map((cut) => cut % (body.length + 1)).sort((a, b) => a - b), body.length]
  for (const [index, place] of places.slice(1).entries()) reader.push(body.subarray(places[index], place))
  return reader.end()
}

test('a form is the same however it arrives', () => {
  // Contents that look like delimiters, as far as they may.
  const content = fc.string({ unit: fc.constantFrom('\r', '\n', '-', 'b', 'x', 'é'), maxLength: 20 })
  const safe = content.filter((text) => !`\r\n${text}\r`.includes('\r\n--b'))
  const cuts = fc.array(fc.nat(), { maxLength: 12 })
  fc.assert(
    fc.property(safe, safe, cuts, (one, two, places) => {
      const form = read(bodyOf([field('model', one), fileOf(two)]), places)
      assert.ok('fields' in form, JSON.stringify(form))
      assert.deepEqual([...form.fields], [['model', one]])
      assert.deepEqual(
        [form.file?.name, form.file?.bytes, form.file?.head.toString()],
        ['a.mp3', Buffer.byteLength(two), two],
      )
    }),
    { numRuns: 2000, seed: 1 },
  )
})

test('of a file, its size and its beginning are kept', () => {
  const form = read(bodyOf([fileOf('x'.repeat(100_000))]), [1000, 2000, 50_000])
  assert.ok('file' in form)
  assert.deepEqual([form.file?.bytes, form.file?.head.length], [100_000, 256])
})

test('what precedes the first boundary and follows the last is nothing', () => {
  const body = Buffer.concat([Buffer.from('hello\r\n'), bodyOf([field('a', '1')]), Buffer.from('--b\r\nbye')])
  const form = read(body)
  assert.ok('fields' in form)
  assert.deepEqual([...form.fields], [['a', '1']])
})

for (const { name, body, want } of [
  { name: 'nothing', body: '', want: 'it ends in the middle' },
  { name: 'no end', body: '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1', want: 'it ends in the middle' },
  { name: 'a part without a name', body: bodyOf([{ headers: 'x: y', content: '' }]), want: 'a part has no name' },
  { name: 'a boundary that goes on', body: '--bx\r\n\r\n', want: 'a boundary is followed' },
  { name: 'endless headers', body: `--b\r\n${'x'.repeat(9_000)}`, want: 'headers of a part are too long' },
  { name: 'a long field', body: bodyOf([field('a', 'x'.repeat(70_000))]), want: 'the field a is too long' },
  { name: 'too many parts', body: bodyOf(Array(65).fill(field('a', '1'))), want: 'more than 64 parts' },
]) {
  test(`a form with ${name} is refused`, () => {
    const form = read(Buffer.from(body))
    assert.ok('problem' in form)
    assert.ok(form.problem.includes(want), form.problem)
  })
}

for (const [type, want] of [
  ['multipart/form-data; boundary=abc', 'abc'],
  ['multipart/form-data; charset=utf-8; boundary="a b"', 'a b'],
  ['Multipart/Form-Data;boundary=x;y=z', 'x'],
  ['application/json', undefined],
  ['multipart/form-data', undefined],
  [`multipart/form-data; boundary=${'x'.repeat(71)}`, undefined],
  [undefined, undefined],
] as const) {
  test(`the boundary of ${type?.slice(0, 50)}`, () => assert.equal(findBoundary(type), want))
}
