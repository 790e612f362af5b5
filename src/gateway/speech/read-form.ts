import type { IncomingMessage } from 'node:http'
import busboy from '@fastify/busboy'
import { takeInRest } from '#gateway/read-body.ts'
import { AppError } from '#src/errors.ts'
import type { FilePart } from '#wire/transcription-form.ts'
import type { FormField } from '#wire/transcription-request.ts'
import { createUpload, type Upload, type UploadOptions } from './upload.ts'

/** A form whose file has begun; fields may follow it. */
export interface OpenForm {
  /** Those so far, in their order. */
  fields: readonly FormField[]
  file: FilePart
  upload: Upload
  /** Resolves when the last field is there. Throws AppError. */
  ended: Promise<void>
  /** Nobody wants the rest. */
  giveUp(): void
}

const FIELDS_MAX = 64
const FIELD_NAME_BYTES_MAX = 100
const FIELD_BYTES_MAX = 64 * 1024
const PART_HEADERS_MAX = 16
const PART_HEAD_BYTES_MAX = 8 * 1024
const FILE_NAME_CHARS_MAX = 255

/**
 * Reads a form up to its file. One file, small fields; what does not fit is refused and never cut short. Throws AppError:
 * media_type_unsupported, body_malformed, body_invalid, body_too_large.
 */
export function readForm(req: IncomingMessage, options: UploadOptions): Promise<OpenForm> {
  const type = req.headers['content-type']
  if (type === undefined || !/^multipart\/form-data\b/i.test(type))
    throw new AppError('media_type_unsupported', { message: 'The body must be multipart/form-data.' })
  if (req.headers['content-encoding'] !== undefined && req.headers['content-encoding'] !== 'identity')
    throw new AppError('media_type_unsupported', { message: 'The body must not be compressed.' })
  if (req.destroyed) throw brokenOff()
  const parser = openParser(req)
  const fields: FormField[] = []
  const opened = Promise.withResolvers<OpenForm>()
  const ended = Promise.withResolvers<void>()
  ended.promise.catch(() => undefined)
  let upload: Upload | undefined
  let failed = false

  function giveUp(): void {
    if (req.complete) return
    req.unpipe(parser)
    takeInRest(req)
  }

  function fail(error: AppError): void {
    if (failed) return
    failed = true
    giveUp()
    upload?.fail(error)
    opened.reject(error)
    ended.reject(error)
  }

  parser.on('field', (name: string, value: string, nameCut: boolean, valueCut: boolean) => {
    if (nameCut || valueCut) fail(invalid(String(name).slice(0, 60), 'is too long'))
    else if (typeof name !== 'string' || name === '') fail(invalid('', 'a field has no name'))
    else fields.push({ name, value })
  })
  parser.on('file', (field, stream, name, _encoding, mime) => {
    if (upload !== undefined) {
      stream.resume()
      fail(invalid(field, 'is a second file'))
      return
    }
    upload = createUpload(stream, options)
    if (field !== 'file') {
      fail(invalid(field, 'is a file; the audio is called file'))
      return
    }
    const given = typeof name === 'string' && name !== '' ? name.slice(-FILE_NAME_CHARS_MAX) : 'audio'
    opened.resolve({ fields, file: { field, name: given, type: mime }, upload, ended: ended.promise, giveUp })
  })
  parser.on('partsLimit', () => fail(invalid('', 'the form has too many parts')))
  parser.on('fieldsLimit', () => fail(invalid('', 'the form has too many fields')))
  parser.on('error', (cause) => fail(new AppError('body_malformed', { message: 'The form cannot be read.', cause })))
  parser.on('finish', () => {
    if (upload === undefined) fail(invalid('file', 'is missing'))
    else ended.resolve()
  })
  req.on('close', () => {
    if (!req.complete) fail(brokenOff())
  })
  req.pipe(parser)
  return opened.promise
}

function openParser(req: IncomingMessage) {
  try {
    return new busboy.Busboy({
      headers: { ...req.headers, 'content-type': req.headers['content-type'] ?? '' },
      limits: {
        fields: FIELDS_MAX,
        files: 2,
        parts: FIELDS_MAX + 2,
        fieldNameSize: FIELD_NAME_BYTES_MAX,
        fieldSize: FIELD_BYTES_MAX,
        headerPairs: PART_HEADERS_MAX,
        headerSize: PART_HEAD_BYTES_MAX,
      },
    })
  } catch (cause) {
    throw new AppError('body_malformed', { message: 'The form names no boundary.', cause })
  }
}

function invalid(path: string, message: string): AppError {
  return new AppError('body_invalid', {
    message: path === '' ? `Invalid request: ${message}.` : `Invalid request: '${path}' ${message}.`,
    ...(path !== '' && { param: path }),
  })
}

function brokenOff(): AppError {
  return new AppError('body_malformed', { message: 'The body broke off.' })
}
