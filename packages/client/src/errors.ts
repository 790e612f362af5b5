/** What is wrong with a lockfile, and where: `at` reads like `profiles.prod.bindings[0].models`. */
export interface Problem {
  severity: 'error' | 'warning'
  at: string
  message: string
}

export type LockfileErrorCode =
  | 'lockfile_missing'
  | 'lockfile_unreadable'
  | 'lockfile_too_large'
  | 'lockfile_syntax'
  | 'lockfile_invalid'
  | 'lockfile_exists'
  | 'extends_missing'
  | 'extends_itself'

/** A lockfile that cannot be found, read, understood or written. */
export class LockfileError extends Error {
  override readonly name = 'LockfileError'
  readonly code: LockfileErrorCode
  /** Path of the file, where there is one. */
  readonly file: string | undefined
  /** Every problem that was found, for `lockfile_invalid`. */
  readonly problems: readonly Problem[]

  constructor(
    code: LockfileErrorCode,
    message: string,
    options: { file?: string | undefined; problems?: readonly Problem[]; cause?: unknown } = {},
  ) {
    super(options.file === undefined ? message : `${options.file}: ${message}`, { cause: options.cause })
    this.code = code
    this.file = options.file
    this.problems = options.problems ?? []
  }
}

export type ResolutionErrorCode =
  | 'alias_unknown'
  | 'alias_invalid'
  | 'namespace_unknown'
  | 'providers_unavailable'
  | 'label_invalid'

/** A name that does not lead to a model. */
export class ResolutionError extends Error {
  override readonly name = 'ResolutionError'
  readonly code: ResolutionErrorCode
  /** What was asked for. */
  readonly asked: string
  readonly profile: string | undefined

  constructor(code: ResolutionErrorCode, asked: string, message: string, profile?: string) {
    super(message)
    this.code = code
    this.asked = asked
    this.profile = profile
  }
}

/** What went wrong on the way, where the server did not say it with a code of its own. */
export type HttpFaultCode =
  | 'network_failed'
  | 'request_timeout'
  | 'request_aborted'
  | 'answer_invalid'
  | 'answer_too_large'
  | 'http_error'
  | 'entry_invalid'

export interface FluxgateErrorOptions {
  /** HTTP status of the answer, where there was one. */
  status?: number | undefined
  /** The server's `x-request-id`: what to name when asking the operator. */
  requestId?: string | undefined
  /** Whether the same request may succeed later. */
  retry?: boolean | undefined
  /** How long the server asks to wait, in milliseconds. */
  retryAfterMs?: number | undefined
  cause?: unknown
}

/**
 * A call to the gateway that failed. `code` is the server's own (`invalid_api_key`, `body_invalid`, …: docs/errors.md of the gateway), or
 * a HttpFaultCode where no answer of a gateway came.
 */
export class FluxgateError extends Error {
  override readonly name = 'FluxgateError'
  readonly code: HttpFaultCode | (string & {})
  readonly status: number | undefined
  readonly requestId: string | undefined
  readonly retry: boolean
  readonly retryAfterMs: number | undefined

  constructor(code: string, message: string, options: FluxgateErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.status = options.status
    this.requestId = options.requestId
    this.retry = options.retry ?? false
    this.retryAfterMs = options.retryAfterMs
  }
}
