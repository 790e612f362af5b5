import { errorTable } from './error-table.ts'

export type ErrorCode = keyof typeof errorTable

export const errorCodes = Object.keys(errorTable) as ErrorCode[]

/** What is wrong with one member, as `{path: 'llm.models["gpt"].upstreams[0].baseURL', message: 'is missing'}`. */
export interface Problem {
  readonly path: string
  /** Completes a sentence that begins with the path. Repeats no value, which may be a secret. */
  readonly message: string
}

/**
 * An outcome that only the edge renders. `message`, `param`, `problems` and `headers` reach the client;
 * `details` and `cause` stay in the log.
 */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly status: number
  readonly param: string | null
  readonly headers: Record<string, string>
  readonly details: Record<string, unknown>
  /** For the caller's own faults: what the provider calls them, which clients branch on. */
  readonly upstream: { type: string; code: string | null } | undefined
  /** Everything that is wrong with what was sent, for the client as `details`. */
  readonly problems: readonly Problem[]
  /** Facts for clients whose contract has details of its own. */
  readonly publicDetails: Readonly<Record<string, unknown>> | undefined

  constructor(
    code: ErrorCode,
    options: {
      message?: string
      param?: string
      headers?: Record<string, string>
      status?: number
      upstream?: { type: string; code: string | null }
      problems?: readonly Problem[]
      publicDetails?: Readonly<Record<string, unknown>>
      details?: Record<string, unknown>
      cause?: unknown
    } = {},
  ) {
    super(
      options.message ?? errorTable[code].message,
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.code = code
    this.status = options.status ?? errorTable[code].status
    this.param = options.param ?? null
    this.headers = options.headers ?? {}
    this.details = options.details ?? {}
    this.upstream = options.upstream
    this.problems = options.problems ?? []
    this.publicDetails = options.publicDetails
  }
}

/** OpenAI's error body, which its SDKs parse on every surface of this gateway. */
export function errorBody(error: AppError): {
  error: { message: string; type: string; param: string | null; code: string | null; details?: readonly Problem[] }
} {
  const { type, code } = error.upstream ?? { type: errorTable[error.code].type, code: error.code }
  const details = error.problems.length > 0 && { details: error.problems }
  return { error: { message: error.message, type, param: error.param, code, ...details } }
}

/** The headers that go with an error: whether to retry, and what the thrower adds. */
export function errorHeaders(error: AppError): Record<string, string> {
  return { 'x-should-retry': String(errorTable[error.code].retry), ...error.headers }
}
