/** What a parser finds out. */
export interface Finding {
  /** All that has passed is so long. */
  known(seconds: number): void
  /** From the byte `from` on, each second is as many bytes. */
  bytesPerSecond(rate: number, from: number): void
  /** No second is fewer bytes. */
  atLeast(bytesPerSecond: number): void
}

/** Asks for the next bytes, or to pass over some; gets what was read, or nothing. The first next() gives the sniffed head. */
export type Parser = Generator<{ read: number } | { skip: number }, void, Buffer>

/** Of the head that was sniffed before. */
const HEAD = 12

export function* wavSeconds(finding: Finding): Parser {
  yield { read: 0 }
  let at = HEAD
  let rate = 0
  for (;;) {
    const chunk: Buffer = yield { read: 8 }
    at += 8
    const name = chunk.toString('latin1', 0, 4)
    const size = chunk.readUInt32LE(4)
    if (name === 'data') {
      if (rate > 0) finding.bytesPerSecond(rate, at)
      return
    }
    if (name === 'fmt ' && size >= 16 && size <= 64) {
      const format: Buffer = yield { read: size }
      const plain = format.readUInt16LE(0) !== 2 && format.readUInt16LE(0) !== 17
      // Of plain samples the rate follows from the rest, which is what players go by.
      rate = plain ? format.readUInt32LE(4) * format.readUInt16LE(12) : format.readUInt32LE(8)
    } else yield* passOver(size)
    at += size
    if (size % 2 === 1) {
      at += 1
      yield { skip: 1 }
    }
  }
}

export function* flacSeconds(finding: Finding): Parser {
  const head: Buffer = yield { read: 0 }
  // Of the first block 8 bytes of its head and body have been read.
  if ((head.readUInt8(4) & 0x7f) !== 0) return
  const info: Buffer = yield { read: 30 }
  const packed = info.readBigUInt64BE(6)
  const rate = Number(packed >> 44n)
  const samples = Number(packed & 0xf_ffff_ffffn)
  if (rate > 0 && samples > 0) finding.known(samples / rate)
}

export function* oggSeconds(finding: Finding): Parser {
  let head: Buffer = yield { read: 0 }
  let rate = 0
  let before = 0
  for (;;) {
    const rest: Buffer = yield { read: 27 - head.length }
    const page = Buffer.concat([head, rest])
    if (page.toString('latin1', 0, 4) !== 'OggS') return
    const table: Buffer = yield { read: page.readUInt8(26) }
    const size = table.reduce((sum, segment) => sum + segment, 0)
    if (rate === 0) {
      const first: Buffer = yield { read: size }
      if (first.toString('latin1', 0, 8) === 'OpusHead' && first.length >= 16) {
        rate = 48_000
        before = first.readUInt16LE(10)
      } else if (first.toString('latin1', 1, 7) === 'vorbis' && first.length >= 16) rate = first.readUInt32LE(12)
      if (rate === 0) return
    } else yield* passOver(size)
    const granule = page.readBigInt64LE(6)
    if (granule > 0n) finding.known(Math.max(0, Number(granule) - before) / rate)
    head = EMPTY
  }
}

const EMPTY = Buffer.alloc(0)
const kbits1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
const kbits2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
const rates = [44_100, 48_000, 32_000]
const RESYNC_BYTES_MAX = 65_536

export function* mp3Seconds(finding: Finding): Parser {
  const head: Buffer = yield { read: 0 }
  let header: Buffer
  if (head.toString('latin1', 0, 3) === 'ID3') {
    const size = [6, 7, 8, 9].reduce((sum, index) => sum * 128 + (head.readUInt8(index) & 0x7f), 0)
    // Two bytes behind the head of the tag have been read with it.
    yield* passOver(Math.max(0, size - 2))
    header = yield { read: 4 }
  } else {
    const length = frameOf(head)?.bytes
    if (length === undefined || length < HEAD) return
    header = head.subarray(0, 4)
    finding.known(frameOf(head)?.seconds ?? 0)
    yield* passOver(length - HEAD)
    header = yield { read: 4 }
  }
  let seconds = frameOf(head)?.seconds ?? 0
  let lost = 0
  for (;;) {
    const frame = frameOf(header)
    if (frame === undefined) {
      if (header.toString('latin1', 0, 3) === 'TAG' || lost >= RESYNC_BYTES_MAX) return
      lost += 1
      const next: Buffer = yield { read: 1 }
      header = Buffer.concat([header.subarray(1), next])
      continue
    }
    lost = 0
    seconds += frame.seconds
    finding.atLeast(frame.bytesPerSecondMin)
    finding.known(seconds)
    yield* passOver(frame.bytes - 4)
    header = yield { read: 4 }
  }
}

/** Layer 3 of MPEG 1, 2 and 2.5. */
function frameOf(header: Buffer): { bytes: number; seconds: number; bytesPerSecondMin: number } | undefined {
  const bits = header.readUInt32BE(0)
  if (bits >>> 21 !== 0x7ff || ((bits >>> 17) & 3) !== 1) return undefined
  const version = (bits >>> 19) & 3
  const kbit = (version === 3 ? kbits1 : kbits2)[(bits >>> 12) & 15]
  const base = rates[(bits >>> 10) & 3]
  if (version === 1 || kbit === undefined || kbit === 0 || base === undefined) return undefined
  const rate = version === 3 ? base : version === 2 ? base / 2 : base / 4
  const samples = version === 3 ? 1152 : 576
  const bytes = Math.floor(((samples / 8) * kbit * 1000) / rate) + ((bits >>> 9) & 1)
  return { bytes, seconds: samples / rate, bytesPerSecondMin: version === 3 ? 4_000 : 1_000 }
}

export function* mp4Seconds(finding: Finding): Parser {
  const first: Buffer = yield { read: 0 }
  yield* passOver(Math.max(0, first.readUInt32BE(0) - HEAD))
  for (;;) {
    const box: Buffer = yield { read: 8 }
    const name = box.toString('latin1', 4, 8)
    let size = box.readUInt32BE(0) - 8
    if (size === -7) {
      const long: Buffer = yield { read: 8 }
      size = Number(long.readBigUInt64BE(0)) - 16
    }
    if (name === 'moov') continue
    if (size < 0) return
    if (name !== 'mvhd' || size < 32) {
      yield* passOver(size)
      continue
    }
    const info: Buffer = yield { read: 32 }
    const wide = info.readUInt8(0) === 1
    const scale = info.readUInt32BE(wide ? 20 : 12)
    const length = wide ? Number(info.readBigUInt64BE(24)) : info.readUInt32BE(16)
    if (scale > 0 && length > 0 && length < 2 ** 40) finding.known(length / scale)
    return
  }
}

/** Elements whose members are looked into; all others are passed over. */
const masters: ReadonlySet<number> = new Set([0x18538067, 0x1549a966, 0x1f43b675, 0xa0])
const SCALE = 0x2ad7b1
const DURATION = 0x4489
const CLUSTER_TIME = 0xe7
const BLOCKS: ReadonlySet<number> = new Set([0xa1, 0xa3])

export function* webmSeconds(finding: Finding): Parser {
  const head: Buffer = yield { read: 0 }
  // The head is short: its id, a length of one byte or eight, and what has been read of its body.
  const short = (head.readUInt8(4) & 0x80) !== 0
  const size = short ? head.readUInt8(4) & 0x7f : Number(head.readBigUInt64BE(4) & 0xff_ffff_ffff_ffffn)
  yield* passOver(Math.max(0, size - (short ? HEAD - 5 : 0)))
  let scale = 1_000_000
  let cluster = 0
  let longest = 0
  const reach = (ticks: number) => {
    longest = Math.max(longest, ticks)
    finding.known((longest * scale) / 1e9)
  }
  for (;;) {
    const id: number = yield* vint(true)
    const length: number = yield* vint(false)
    if (id === 0) return
    if (masters.has(id)) continue
    if (!Number.isSafeInteger(length)) return
    if (id === SCALE || id === CLUSTER_TIME) {
      if (length < 1 || length > 6) return
      const value: Buffer = yield { read: length }
      if (id === SCALE) scale = value.readUIntBE(0, length)
      else cluster = value.readUIntBE(0, length)
    } else if (id === DURATION && (length === 4 || length === 8)) {
      const value: Buffer = yield { read: length }
      const ticks = length === 4 ? value.readFloatBE(0) : value.readDoubleBE(0)
      if (ticks > 0) reach(ticks)
    } else if (BLOCKS.has(id) && length >= 4) {
      const block: Buffer = yield { read: 3 }
      // A track number of one byte, as every recorder of speech writes it.
      if ((block.readUInt8(0) & 0x80) !== 0) reach(Math.max(0, cluster + block.readInt16BE(1)))
      yield* passOver(length - 3)
    } else yield* passOver(length)
  }
}

/** A number of EBML, with its marker as part of an id; infinite where the length is not known. */
function* vint(marked: boolean): Generator<{ read: number }, number, Buffer> {
  const first: Buffer = yield { read: 1 }
  const byte = first.readUInt8(0)
  const more = Math.clz32(byte) - 24
  if (more > 7) return 0
  let value = marked ? byte : byte & (0x7f >> more)
  let open = value === 0x7f >> more
  if (more > 0) {
    const rest: Buffer = yield { read: more }
    for (const next of rest) {
      value = value * 256 + next
      open &&= next === 0xff
    }
  }
  return !marked && open ? Number.POSITIVE_INFINITY : value
}

function* passOver(bytes: number): Generator<{ skip: number }, void, Buffer> {
  if (bytes > 0) yield { skip: bytes }
}
