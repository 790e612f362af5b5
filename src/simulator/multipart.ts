/** What a form holds. Of a file, its size and its first bytes are all that is kept. */
export interface Form {
  fields: ReadonlyMap<string, string>
  file: FormFile | undefined
}

export interface FormFile {
  name: string
  bytes: number
  head: Buffer
}

const PARTS_MAX = 64
const PART_HEADERS_BYTES_MAX = 8 * 1024
const FIELD_BYTES_MAX = 64 * 1024
const FILE_HEAD_BYTES = 256
const BOUNDARY_CHARS_MAX = 70

/** The boundary of a multipart body, from its content type. */
export function findBoundary(contentType: string | undefined): string | undefined {
  const found = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType ?? '')
  const boundary = found?.[1] ?? found?.[2]
  return boundary !== undefined && boundary.length <= BOUNDARY_CHARS_MAX ? boundary : undefined
}

interface Part {
  name: string
  fileName: string | undefined
  bytes: number
  kept: Buffer[]
  keptBytes: number
}

/**
 * Reads a form as it arrives and holds no more than a boundary's length of what is not kept. `end` gives the form, or what is
 * wrong with it.
 */
export function createFormReader(boundary: string) {
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  const fields = new Map<string, string>()
  let file: FormFile | undefined
  let problem: string | undefined
  // A body begins with its first delimiter, as if a line had ended before it.
  let rest: Buffer = Buffer.from('\r\n')
  let state: 'preamble' | 'boundary' | 'headers' | 'body' | 'end' = 'preamble'
  let part: Part | undefined
  let parts = 0

  /** Takes as much of `rest` as can be told; false when more is needed. */
  function step(): boolean {
    switch (state) {
      case 'preamble':
      case 'body':
        return readToDelimiter()
      case 'boundary':
        return readBoundaryEnd()
      case 'headers':
        return readHeaders()
      case 'end':
        rest = Buffer.alloc(0)
        return false
    }
  }

  function readToDelimiter(): boolean {
    const at = rest.indexOf(delimiter)
    // What might be the beginning of a delimiter stays.
    const sure = at === -1 ? Math.max(rest.length - delimiter.length + 1, 0) : at
    if (part !== undefined) keep(part, rest.subarray(0, sure))
    if (at === -1) {
      rest = rest.subarray(sure)
      return false
    }
    if (part !== undefined) close(part)
    part = undefined
    rest = rest.subarray(at + delimiter.length)
    state = 'boundary'
    return true
  }

  function readBoundaryEnd(): boolean {
    if (rest.length < 2) return false
    const mark = rest.toString('latin1', 0, 2)
    rest = rest.subarray(2)
    if (mark === '--') state = 'end'
    else if (mark === '\r\n') {
      state = 'headers'
      parts += 1
      if (parts > PARTS_MAX) problem = `it has more than ${PARTS_MAX} parts`
    } else problem = 'a boundary is followed by something else than a line end'
    return true
  }

  function readHeaders(): boolean {
    const end = rest.indexOf('\r\n\r\n')
    if (end === -1) {
      if (rest.length > PART_HEADERS_BYTES_MAX) problem = 'the headers of a part are too long'
      return false
    }
    const headers = rest.toString('utf8', 0, end)
    rest = rest.subarray(end + 4)
    const disposition = /^content-disposition:(.*)$/im.exec(headers)?.[1] ?? ''
    const name = parameterOf(disposition, 'name')
    if (name === undefined) problem = 'a part has no name'
    const fileName = parameterOf(disposition, 'filename')
    part = { name: name ?? '', fileName, bytes: 0, kept: [], keptBytes: 0 }
    state = 'body'
    return true
  }

  function keep(to: Part, bytes: Buffer): void {
    to.bytes += bytes.length
    const max = to.fileName === undefined ? FIELD_BYTES_MAX : FILE_HEAD_BYTES
    if (to.fileName === undefined && to.bytes > max) problem = `the field ${to.name} is too long`
    const kept = Buffer.from(bytes.subarray(0, max - to.keptBytes))
    if (kept.length === 0) return
    to.kept.push(kept)
    to.keptBytes += kept.length
  }

  function close({ name, fileName, bytes, kept }: Part): void {
    const content = Buffer.concat(kept)
    if (fileName === undefined) fields.set(name, content.toString())
    else if (name === 'file') file = { name: fileName, bytes, head: content }
  }

  return {
    push(chunk: Buffer): void {
      if (problem !== undefined) return
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      while (problem === undefined && step());
    },

    end(): Form | { problem: string } {
      if (problem === undefined && state !== 'end') problem = 'it ends in the middle'
      return problem === undefined ? { fields, file } : { problem }
    },
  }
}

function parameterOf(disposition: string, name: string): string | undefined {
  const found = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]+))`, 'i').exec(disposition)
  return found?.[1] ?? found?.[2]
}
