import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import type { SpeechFormat, SpeechRefusal, VendorError } from '#wire/speech-format.ts'
import { TtsFault } from './adapter.ts'
import type { Chunks } from './speech-http.ts'

/** The gateway's own reading of statuses, retry times and messages, so that speech fails like everything else. */
export type FaultOfStatus = (
  status: number,
  headers: Record<string, string | string[] | undefined>,
  body: string,
  credential: string | undefined,
) => UpstreamFault

const ERROR_BYTES_MAX = 64 * 1024

/** The first bytes of a body as text, for its error; what breaks meanwhile is not worth another. */
export async function readErrorText(chunks: Chunks): Promise<string> {
  const pieces: Buffer[] = []
  let length = 0
  try {
    for (;;) {
      const piece = await chunks.next()
      if (piece === undefined) break
      pieces.push(piece)
      length += piece.length
      if (length >= ERROR_BYTES_MAX) break
    }
  } catch (error) {
    if (!(error instanceof TtsFault)) throw error
  }
  chunks.close()
  return Buffer.concat(pieces).subarray(0, ERROR_BYTES_MAX).toString('utf8')
}

/** A refusal of ours, before anything was sent. */
export function refusalFault({ refused, path, message }: SpeechRefusal): TtsFault {
  if (refused === 'config') return new TtsFault({ class: 'target', code: 'adapter_config', cause: new Error(message) })
  return new TtsFault({
    class: 'caller',
    code: 'request_unfit',
    status: 400,
    error: { message: `${path}: ${message}`, type: 'invalid_request_error', param: path, code: null },
  })
}

/** What a status and the vendor's own words make of a failure. */
export function vendorFault(
  faultOfStatus: FaultOfStatus,
  failure: {
    status: number
    headers: Record<string, string | string[] | undefined>
    error: VendorError
    credential: string
    /** The failure stands in the body of a 2xx: the status is what it amounts to. */
    inBody?: boolean
  },
): TtsFault {
  const { error, headers, credential } = failure
  // Put into OpenAI's form, the words go through the same cleaning as everybody's.
  const body = JSON.stringify({
    error: {
      message: error.message ?? 'the speech provider refused the request',
      type: error.type ?? 'invalid_request_error',
      code: error.code ?? null,
    },
  })
  const fault = faultOfStatus(failure.status, headers, body, credential === '' ? undefined : credential)
  const kind = error.class ?? fault.class
  const status = failure.status
  return new TtsFault({
    ...fault,
    class: kind,
    ...(failure.inBody === true && /^[\w.-]{1,60}$/.test(error.code ?? '') && { code: `vendor_${error.code}` }),
    // A client that is at fault hears a status of its own routes, not that a page is missing at a vendor.
    status: kind === 'caller' && status !== 413 && status !== 422 ? 400 : status,
    ...(error.timedOut === true && { timedOut: true }),
  })
}

/** A 2xx that holds no audio. */
export function emptyHanded(
  faultOfStatus: FaultOfStatus,
  format: SpeechFormat,
  failure: { headers: Record<string, string | string[] | undefined>; body: string; credential: string },
): TtsFault {
  const error = format.readError(200, failure.body)
  const known = error.class !== undefined && error.class !== 'provider'
  if (known) {
    const status = { caller: 400, credential: 401, target: 429, provider: 502 }[error.class ?? 'provider']
    return vendorFault(faultOfStatus, { ...failure, status, error, inBody: true })
  }
  return new TtsFault({ class: 'provider', code: 'error_in_200', status: 200 })
}
