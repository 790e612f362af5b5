import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createResponseParser, type ResponseSummary } from './response-parser.ts'

const events = 'data: {"a":1}\n\n: ping\n\ndata: {"b":[2]}\n\ndata: [DONE]\n\n'
const eventChunks = `1\r\nd\r\n${(events.length - 1).toString(16)};x=y\r\n${events.slice(1)}\r\n0\r\n\r\n`

const cases: { name: string; raw: string; ends?: boolean; want: Partial<ResponseSummary>[] }[] = [
  {
    name: 'a body of known length',
    raw: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    want: [{ status: 200, bodyBytes: 5, events: 0, done: false, reusable: true }],
  },
  {
    name: 'an empty body',
    raw: 'HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n',
    want: [{ status: 503, bodyBytes: 0 }],
  },
  { name: 'no body', raw: 'HTTP/1.1 204 No Content\r\n\r\n', want: [{ status: 204, bodyBytes: 0 }] },
  {
    name: 'chunks with extensions and events',
    raw: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${eventChunks}`,
    want: [{ status: 200, bodyBytes: events.length, events: 3, done: true, reusable: true }],
  },
  {
    name: 'a trailer',
    raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n',
    want: [{ status: 200, bodyBytes: 3 }],
  },
  {
    name: 'events with CR LF that do not end',
    raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11\r\ndata: {"d":"[x"}\r\n\r\n0\r\n\r\n',
    want: [{ status: 200, events: 1, done: false }],
  },
  {
    name: 'two on one connection',
    raw: 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 429 No\r\ncontent-length: 2\r\n\r\nyz',
    want: [
      { status: 200, bodyBytes: 1 },
      { status: 429, bodyBytes: 2 },
    ],
  },
  {
    name: 'an interim response first',
    raw: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx',
    want: [{ status: 200, bodyBytes: 1 }],
  },
  {
    name: 'the last of a connection',
    raw: 'HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 1\r\n\r\nx',
    want: [{ status: 200, reusable: false }],
  },
  {
    name: 'a body until the end',
    raw: 'HTTP/1.0 200 OK\r\n\r\ndata: [DONE]',
    ends: true,
    want: [{ status: 200, bodyBytes: 12, events: 1, done: true, reusable: false }],
  },
]

function parse(pieces: Buffer[], ends = false): { summaries: ResponseSummary[]; firsts: number; clean: boolean } {
  const summaries: ResponseSummary[] = []
  let firsts = 0
  const parser = createResponseParser({
    firstBodyByte: () => {
      firsts += 1
    },
    response: (summary) => summaries.push(summary),
  })
  // One buffer for all pieces, as the connections use it.
  const shared = Buffer.alloc(4096)
  for (const piece of pieces) {
    piece.copy(shared)
    parser.push(shared, piece.length)
    shared.fill('#')
  }
  return { summaries, firsts, clean: ends ? parser.end() : true }
}

for (const { name, raw, ends, want } of cases) {
  for (const size of [1, 2, 3, 7, 4096]) {
    test(`${name}, read ${size} bytes at a time`, () => {
      const bytes = Buffer.from(raw)
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
        bytes.subarray(at * size, (at + 1) * size),
      )
      const { summaries, firsts, clean } = parse(pieces, ends)
      assert.equal(summaries.length, want.length)
      for (const [at, part] of want.entries()) assert.deepEqual({ ...summaries[at], ...part }, summaries[at])
      assert.equal(firsts, summaries.filter((summary) => summary.bodyBytes > 0).length)
      assert.ok(clean)
    })
  }
}

for (const { name, raw, claim } of [
  { name: 'another protocol', raw: 'SSH-2.0-OpenSSH\r\n\r\n', claim: /not HTTP/ },
  { name: 'a head without end', raw: `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`, claim: /head is too large/ },
  {
    name: 'a chunk size in words',
    raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz',
    claim: /hexadecimal/,
  },
  {
    name: 'a chunk of a terabyte',
    raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000\r\n',
    claim: /chunk is too large/,
  },
]) {
  test(`${name} is refused`, () => {
    const parser = createResponseParser({ firstBodyByte: () => {}, response: () => {} })
    const bytes = Buffer.from(raw)
    assert.throws(() => parser.push(bytes, bytes.length), claim)
  })
}

test('a connection that ends inside a response did not end well', () => {
  for (const raw of ['HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel']) {
    assert.equal(parse([Buffer.from(raw)], true).clean, false)
  }
  assert.equal(parse([], true).clean, true)
})
