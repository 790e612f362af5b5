import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createDurationProbe } from './transcription-duration.ts'

/** In pieces of a size that meets every border. */
function probe(bytes: Buffer, pieceBytes = 7) {
  const found = createDurationProbe()
  for (let at = 0; at < bytes.length; at += pieceBytes) found.push(bytes.subarray(at, at + pieceBytes))
  return found
}

function wav(options: { rate: number; blockBytes: number; data: number; said?: number; extra?: Buffer }): Buffer {
  const head = Buffer.alloc(36)
  head.write('RIFF', 0, 'latin1')
  head.write('WAVEfmt ', 8, 'latin1')
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(1, 20)
  head.writeUInt32LE(options.rate, 24)
  head.writeUInt32LE(1, 28) // A lie, which no player looks at.
  head.writeUInt16LE(options.blockBytes, 32)
  const data = Buffer.alloc(8)
  data.write('data', 0, 'latin1')
  data.writeUInt32LE(options.said ?? options.data, 4)
  return Buffer.concat([head, options.extra ?? Buffer.alloc(0), data, Buffer.alloc(options.data)])
}

function page(granule: bigint, payload: Buffer): Buffer {
  const head = Buffer.alloc(27)
  head.write('OggS', 0, 'latin1')
  head.writeBigInt64LE(granule, 6)
  head.writeUInt8(1, 26)
  return Buffer.concat([head, Buffer.from([payload.length]), payload])
}

const opusHead = Buffer.alloc(19)
opusHead.write('OpusHead', 0, 'latin1')
opusHead.writeUInt16LE(312, 10)

/** 128 kbit/s, 44.1 kHz, MPEG 1 layer 3: 417 bytes and 1,152 samples. */
const mp3Frame = Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0x00]), Buffer.alloc(413)])

function flac(samples: number, rate: number): Buffer {
  const bytes = Buffer.alloc(42)
  bytes.write('fLaC', 0, 'latin1')
  bytes.writeUInt8(34, 7)
  bytes.writeBigUInt64BE((BigInt(rate) << 44n) | BigInt(samples), 18)
  return bytes
}

function box(name: string, body: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + body.length, 0)
  head.write(name, 4, 'latin1')
  return Buffer.concat([head, body])
}

const mvhd = Buffer.alloc(100)
mvhd.writeUInt32BE(1000, 12)
mvhd.writeUInt32BE(2500, 16)

const element = (id: number[], body: Buffer) => Buffer.concat([Buffer.from([...id, 0x80 | body.length]), body])
const open = (id: number[]) => Buffer.from([...id, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
const block = (ticks: number) => element([0xa3], Buffer.from([0x81, ticks >> 8, ticks & 0xff, 0x80, 1, 2, 3]))
const webm = Buffer.concat([
  element([0x1a, 0x45, 0xdf, 0xa3], Buffer.alloc(20)),
  open([0x18, 0x53, 0x80, 0x67]),
  element([0x15, 0x49, 0xa9, 0x66], element([0x2a, 0xd7, 0xb1], Buffer.from([0x0f, 0x42, 0x40]))),
  open([0x1f, 0x43, 0xb6, 0x75]),
  element([0xe7], Buffer.from([0])),
  block(0),
  block(980),
  open([0x1f, 0x43, 0xb6, 0x75]),
  element([0xe7], Buffer.from([0x07, 0xd0])),
  block(500),
])

const odd = Buffer.concat([Buffer.from('LIST'), Buffer.from([3, 0, 0, 0]), Buffer.alloc(4)])
const tag = Buffer.concat([Buffer.from('ID3'), Buffer.from([4, 0, 0, 0, 0, 1, 0]), Buffer.alloc(128)])

const files: [what: string, bytes: Buffer, seconds: number | undefined][] = [
  ['wav', wav({ rate: 16_000, blockBytes: 2, data: 48_000 }), 1.5],
  ['wav with a list before its samples', wav({ rate: 8_000, blockBytes: 1, data: 4_000, extra: odd }), 0.5],
  ['wav that says less than it holds', wav({ rate: 16_000, blockBytes: 2, data: 48_000, said: 2 }), 1.5],
  ['ogg opus', Buffer.concat([page(0n, opusHead), page(-1n, Buffer.alloc(9)), page(96_312n, Buffer.alloc(50))]), 2],
  ['mp3', Buffer.concat(Array.from({ length: 100 }, () => mp3Frame)), (100 * 1152) / 44_100],
  ['mp3 behind a tag', Buffer.concat([tag, ...Array.from({ length: 10 }, () => mp3Frame)]), (10 * 1152) / 44_100],
  ['flac', flac(88_200, 44_100), 2],
  [
    'mp4',
    Buffer.concat([box('ftyp', Buffer.alloc(16)), box('mdat', Buffer.alloc(99)), box('moov', box('mvhd', mvhd))]),
    2.5,
  ],
  ['webm of a browser', webm, 2.5],
  ['nothing that is known', Buffer.alloc(500, 3), undefined],
  ['too little of anything', Buffer.from('RI'), undefined],
]

for (const [what, bytes, seconds] of files) {
  test(`${what}: ${seconds} seconds`, () => {
    for (const pieceBytes of [1, 7, 64, bytes.length]) {
      const found = probe(bytes, pieceBytes).seconds()
      if (seconds === undefined) assert.equal(found, undefined)
      else assert(found !== undefined && Math.abs(found - seconds) < 0.001, `${found} in pieces of ${pieceBytes}`)
    }
  })
}

test('what is known of the head bounds the whole', () => {
  const head = wav({ rate: 16_000, blockBytes: 2, data: 320 })
  assert.equal(probe(head).secondsMax(44 + 320_000), 10)
  assert.equal(probe(Buffer.alloc(100)).secondsMax(75_000), 100)
  assert.equal(probe(Buffer.concat([mp3Frame, mp3Frame])).secondsMax(400_000), 100)
})

test('a length that is none is not believed', () => {
  const info = element([0x44, 0x89], Buffer.from([0x7f, 0xf8, 0, 0, 0, 0, 0, 0]))
  const head = element([0x1a, 0x45, 0xdf, 0xa3], Buffer.alloc(20))
  assert.equal(probe(Buffer.concat([head, open([0x18, 0x53, 0x80, 0x67]), info])).seconds(), undefined)
  const huge = element([0x44, 0x89], Buffer.from([0x7f, 0xe0, 0, 0, 0, 0, 0, 0]))
  assert.equal(probe(Buffer.concat([head, open([0x18, 0x53, 0x80, 0x67]), huge])).seconds(), 7 * 86_400)
})

test('no bytes make it fail, and its bound is never below its length', () => {
  const heads = files.map(([, bytes]) => bytes)
  fc.assert(
    fc.property(
      fc.constantFrom(...heads),
      fc.array(fc.tuple(fc.nat(199), fc.nat(255)), { maxLength: 12 }),
      fc.integer({ min: 1, max: 50 }),
      (file, changes, pieceBytes) => {
        const bytes = Buffer.from(file)
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        const found = probe(bytes, pieceBytes)
        const seconds = found.seconds() ?? 0
        assert(Number.isFinite(seconds) && seconds >= 0)
        assert(found.secondsMax(bytes.length) >= seconds)
      },
    ),
    { seed: 20_261_122, numRuns: 2_000 },
  )
})
