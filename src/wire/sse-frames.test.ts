import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import fc from 'fast-check'
import { createFrameSplitter, FrameTooLongError, frameData } from './sse-frames.ts'

/** What the HTML standard makes of a stream, written from its text: the data of each event. */
function referenceEvents(stream: string): string[] {
  const lines = stream.replace(/^\ufeff/, '').split(/\r\n|\n/)
  lines.pop() // What follows the last line end is no line yet.
  const events: string[] = []
  let data: string[] = []
  for (const line of lines) {
    if (line === '') {
      if (data.length > 0) events.push(data.join('\n'))
      data = []
      continue
    }
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') data.push(value)
  }
  return events
}

function split(chunks: Buffer[], frameBytesMax = 1_000_000) {
  const frames: Buffer[] = []
  const splitter = createFrameSplitter(frameBytesMax, (buffer, start, end) => {
    frames.push(Buffer.from(buffer.subarray(start, end)))
  })
  for (const chunk of chunks) splitter.push(chunk)
  return { frames, rest: Buffer.from(splitter.rest()) }
}

function cutAt(bytes: Buffer, places: number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

const value = fc.string({ unit: fc.constantFrom('a', ' ', ':', 'é', '日', '🚀', '{', '"', '\\', '\t', 'data:') })
const line = fc.oneof(
  { weight: 6, arbitrary: value.map((text) => `data: ${text}`) },
  value.map((text) => `data:${text}`),
  value.map((text) => `: ${text}`),
  value.map((text) => `event: ${text}`),
  value.map((text) => `id:${text}`),
  value.map((text) => `dat: ${text}`),
  fc.constantFrom('data', 'data:', ':', 'retry: 10', ''),
)
const end = fc.constantFrom('\n', '\r\n')
const stream = fc
  .tuple(
    fc.constantFrom('', '', '\ufeff'),
    fc.array(fc.tuple(fc.array(fc.tuple(line, end), { maxLength: 4 }), end), { maxLength: 8 }),
    fc.constantFrom('', '', 'data: unfinished', 'data: unfinished\n', ':'),
  )
  .map(
    ([bom, events, tail]) =>
      bom + events.map(([lines, blank]) => lines.map(([text, stop]) => text + stop).join('') + blank).join('') + tail,
  )

test('any chunking of any stream gives the same frames, and together they are the stream', () => {
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 20 }), (text, places) => {
      const bytes = Buffer.from(text)
      const whole = split([bytes])
      const pieces = split(cutAt(bytes, places))
      const bytewise = split(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))
      assert.deepEqual(pieces, whole)
      assert.deepEqual(bytewise, whole)
      assert.deepEqual(Buffer.concat([...whole.frames, whole.rest]), bytes)
    }),
    { numRuns: 500 },
  )
})

test('the data of the frames is what the standard says', () => {
  fc.assert(
    fc.property(stream, (text) => {
      const { frames } = split([Buffer.from(text)])
      const read = frames.flatMap((frame) => frameData(frame.toString('latin1')) ?? [])
      assert.deepEqual(
        read.map((data) => Buffer.from(data, 'latin1').toString('utf8')),
        referenceEvents(text),
      )
    }),
    { numRuns: 1_000 },
  )
})

const frames: [name: string, frame: string, data: string | undefined][] = [
  ['an ordinary frame', 'data: {"a":1}\n\n', '{"a":1}'],
  ['no space behind the colon', 'data:x\n\n', 'x'],
  ['only one space is taken', 'data:  x\n\n', ' x'],
  ['CR LF', 'data: x\r\n\r\n', 'x'],
  ['several lines', 'data: a\ndata: b\n\n', 'a\nb'],
  ['an empty line of data', 'data:\n\n', ''],
  ['a name before the data', 'event: message\ndata: x\n\n', 'x'],
  ['a byte order mark', '\xef\xbb\xbfdata: x\n\n', 'x'],
  ['a comment', ': keepalive\n\n', undefined],
  ['a comment and data', ': c\ndata: x\n\n', 'x'],
  ['a blank line alone', '\n', undefined],
  ['another field', 'database: x\n\n', undefined],
]
for (const [name, frame, data] of frames)
  test(`data of a frame: ${name}`, () => {
    assert.equal(frameData(frame), data)
  })

test('a frame of exactly the limit passes and one byte more does not, however it arrives', () => {
  const frame = (bytes: number) => Buffer.from(`data: ${'x'.repeat(bytes - 8)}\n\n`)
  for (const pieces of [1, 7, 100]) {
    const arrive = (bytes: Buffer) =>
      cutAt(
        bytes,
        Array.from({ length: pieces }, (_, n) => n * Math.ceil(bytes.length / pieces)),
      )
    assert.equal(split(arrive(frame(100)), 100).frames.length, 1)
    assert.throws(() => split(arrive(frame(101)), 100), FrameTooLongError)
  }
})

test('a line that never ends is refused at the limit, not collected', () => {
  const splitter = createFrameSplitter(1_000, () => assert.fail('there is no frame'))
  const chunk = Buffer.alloc(100, 'x')
  assert.throws(() => {
    for (let n = 0; n < 100; n += 1) splitter.push(chunk)
  }, FrameTooLongError)
  assert.equal(splitter.rest().length <= 1_100, true)
})

test('a frame of many small lines costs no more than its bytes', () => {
  const frames: string[] = []
  const splitter = createFrameSplitter(1_000_000, (buffer, start, end) =>
    frames.push(buffer.toString('latin1', start, end)),
  )
  const copied = mock.method(Buffer, 'concat', Buffer.concat)
  const line = Buffer.from('a\n')
  for (let n = 0; n < 20_000; n += 1) splitter.push(line)
  const bytes = copied.mock.calls.reduce((sum, { result }) => sum + (result?.length ?? 0), 0)
  copied.mock.restore()
  assert(bytes < 2_000_000, `${bytes} bytes were copied`)
  splitter.push(Buffer.from('\n'))
  assert.deepEqual(frames, [`${'a\n'.repeat(20_000)}\n`])
})
