import type { FormField } from './transcription-request.ts'

/** The part of a form that is a file, as its sender names it. */
export interface FilePart {
  field: string
  name: string
  type: string
}

/** A field as a part of a form. */
export function fieldPart(boundary: string, { name, value }: FormField): Buffer {
  return Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"\r\n\r\n${value}\r\n`)
}

/** What stands before the bytes of a file; CR LF follows them. */
export function filePartHead(boundary: string, { field, name, type }: FilePart): Buffer {
  const disposition = `Content-Disposition: form-data; name="${quoted(field)}"; filename="${quoted(name)}"`
  return Buffer.from(`--${boundary}\r\n${disposition}\r\nContent-Type: ${plainType(type)}\r\n\r\n`)
}

export function formEnd(boundary: string): Buffer {
  return Buffer.from(`--${boundary}--\r\n`)
}

/** As browsers write names in forms. */
function quoted(name: string): string {
  return name.replaceAll('\n', '%0A').replaceAll('\r', '%0D').replaceAll('"', '%22')
}

function plainType(type: string): string {
  return /^[\w.+-]{1,60}\/[\w.+-]{1,60}(?:; ?[\w-]{1,30}=[\w.,-]{1,60}){0,3}$/.test(type)
    ? type
    : 'application/octet-stream'
}
