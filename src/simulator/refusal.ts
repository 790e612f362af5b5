/** An answer that is an error. How it is written down is the vendor's: `vendor.ts`. */
export interface Refusal {
  status: number
  /** Names and values in turn. */
  headers: readonly string[]
  error: ErrorObject | Record<string, unknown>
  /** The error was given as a switch: it stands in the body as it is. */
  verbatim: boolean
  /** A page that a proxy answers with instead of any error object. */
  page?: string
}

/** OpenAI's error object, as its SDKs read it. */
export interface ErrorObject {
  message: string
  type: string
  param: string | null
  code: string | null
}

/** A refusal in the simulator's own words. */
export function refuse(status: number, error: ErrorObject, headers: string[] = []): Refusal {
  return { status, headers, error, verbatim: false }
}

/** A refusal because the request itself is wrong. */
export function badRequest(message: string, param: string | null, code: string | null = null): Refusal {
  return refuse(400, { message, type: 'invalid_request_error', param, code })
}

/** The page a proxy in front of a provider answers with: not JSON, and not for a client's eyes. */
export function htmlRefusal(status: number): Refusal {
  const page = `<html>\r\n<head><title>${status} Bad Gateway</title></head>\r\n<body>\r\n<center><h1>${status} Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`
  return { status, headers: [], error: {}, verbatim: true, page }
}
