/** 16 kHz, 16 bit, mono: 32,000 bytes a second. */
export function wavFile(seconds: number): Buffer {
  const data = Buffer.alloc(Math.round(seconds * 32_000), 1)
  const head = Buffer.alloc(44)
  head.write('RIFF', 0, 'latin1')
  head.writeUInt32LE(36 + data.length, 4)
  head.write('WAVEfmt ', 8, 'latin1')
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(1, 20)
  head.writeUInt16LE(1, 22)
  head.writeUInt32LE(16_000, 24)
  head.writeUInt32LE(32_000, 28)
  head.writeUInt16LE(2, 32)
  head.writeUInt16LE(16, 34)
  head.write('data', 36, 'latin1')
  head.writeUInt32LE(data.length, 40)
  return Buffer.concat([head, data])
}

export interface FormFile {
  name: string
  type?: string
  bytes: Buffer
}

/** A form as its parts stand, in their order. */
export function formOf(parts: readonly (readonly [name: string, value: string | FormFile])[]): {
  body: Buffer
  type: string
} {
  const boundary = 'the-boundary-of-the-tests'
  const pieces = parts.flatMap(([name, value]) => {
    const file = typeof value === 'string' ? '' : `; filename="${value.name}"`
    const type = typeof value === 'string' ? '' : `Content-Type: ${value.type ?? 'audio/wav'}\r\n`
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n${type}\r\n`
    return [Buffer.from(head), typeof value === 'string' ? Buffer.from(value) : value.bytes, Buffer.from('\r\n')]
  })
  return {
    body: Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]),
    type: `multipart/form-data; boundary=${boundary}`,
  }
}
