/**
 * Every error a client can see. A published code is permanent: retire it, never reuse it.
 * `type` is OpenAI's error family; `retry` becomes the `x-should-retry` header, which the official SDKs obey.
 * docs/errors.md lists the same codes, and a test compares both ways.
 */
const table = {
  body_malformed: { status: 400, type: 'invalid_request_error', retry: false, message: 'The body is not valid JSON.' },
  body_invalid: { status: 400, type: 'invalid_request_error', retry: false, message: 'The request is not valid.' },
  label_invalid: { status: 400, type: 'invalid_request_error', retry: false, message: 'A request label is not valid.' },
  idempotency_key_invalid: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'The Idempotency-Key header is missing or not 1 to 255 visible ASCII characters.',
  },
  key_malformed: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'The key that was sent cannot be one.',
  },
  pricing_missing: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'This model has no price, so it cannot be charged.',
  },
  model_missing: { status: 400, type: 'invalid_request_error', retry: false, message: 'The model must be named.' },
  protocol_unsupported: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'This model is not served on this route.',
  },
  unsupported_parameter: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'A parameter of the request cannot be carried to any upstream of this model.',
  },
  upstream_rejected: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'The provider rejected the request.',
  },
  selection_missing: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'Must specify one of: conversation_id, date range, log_ids, or since_last_receipt',
  },
  selection_too_large: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'More than 10,000 logs match, the most that one certificate can hold. Choose fewer, or a shorter range.',
  },
  logs_not_found: {
    status: 400,
    type: 'invalid_request_error',
    retry: false,
    message: 'No logs found matching the criteria',
  },
  invalid_api_key: {
    status: 401,
    type: 'authentication_error',
    retry: false,
    message: 'The API key is missing, malformed, expired or revoked.',
  },
  budget_exceeded: {
    status: 402,
    type: 'insufficient_quota',
    retry: false,
    message: 'A budget of this project does not allow this request.',
  },
  insufficient_quota: {
    status: 402,
    type: 'insufficient_quota',
    retry: false,
    message: 'The wallet does not cover this request.',
  },
  wallet_frozen: { status: 402, type: 'insufficient_quota', retry: false, message: 'The wallet is frozen.' },
  model_not_allowed: {
    status: 403,
    type: 'permission_error',
    retry: false,
    message: 'This key may not use this model.',
  },
  forbidden: { status: 403, type: 'permission_error', retry: false, message: 'This key may not do that.' },
  model_not_found: { status: 404, type: 'invalid_request_error', retry: false, message: 'No model has this name.' },
  not_found: { status: 404, type: 'invalid_request_error', retry: false, message: 'There is nothing at this address.' },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    retry: false,
    message: 'This address does not answer to this method.',
  },
  name_taken: { status: 409, type: 'invalid_request_error', retry: false, message: 'This name is already in use.' },
  idempotency_in_flight: {
    status: 409,
    type: 'invalid_request_error',
    retry: true,
    message: 'A request with this idempotency key is still running.',
  },
  idempotency_done: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'A request with this idempotency key has already ended. Its receipt, named in the headers, says how.',
  },
  idempotency_mismatch: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'This idempotency key was used with another body.',
  },
  log_already_certified: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'A log is certified once.',
  },
  log_has_receipt: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'A call through the gateway has its receipt.',
  },
  receipt_not_accepted: {
    status: 410,
    type: 'invalid_request_error',
    retry: false,
    message:
      'This server signs statements about logs that it holds, and nothing that a client sends. Use POST /api/v1/receipts/generate, or POST /api/v1/receipts/verify to check a receipt.',
  },
  aliases_are_local: {
    status: 410,
    type: 'invalid_request_error',
    retry: false,
    message:
      'Aliases live in llmring.lock, in the code that uses them, since v3.7. The server resolves none: it keeps the alias of each call as a label.',
  },
  key_not_rotatable: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'This key was rotated already, was revoked or has expired.',
  },
  too_many_budgets: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'This project has as many budgets as it may have.',
  },
  too_many_keys: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'This project has 1,000 keys that work: revoke some.',
  },
  receipt_key_in_use: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'Gateways sign with this key: start them with another one first.',
  },
  key_manifest_stale: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'The keys have changed since this list of keys was drafted.',
  },
  too_many_webhooks: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'There are 50 webhooks: remove some.',
  },
  webhook_disabled: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'This webhook is disabled: enable it first.',
  },
  delivery_running: {
    status: 409,
    type: 'invalid_request_error',
    retry: true,
    message: 'This delivery is being attempted at this moment.',
  },
  exceeds_charge: {
    status: 409,
    type: 'invalid_request_error',
    retry: false,
    message: 'The refund is more than what is left of the charge.',
  },
  precondition_failed: {
    status: 412,
    type: 'invalid_request_error',
    retry: false,
    message: 'Somebody has changed it since that ETag: read it again, and send the new one.',
  },
  body_too_large: { status: 413, type: 'invalid_request_error', retry: false, message: 'The body is too large.' },
  media_type_unsupported: {
    status: 415,
    type: 'invalid_request_error',
    retry: false,
    message: 'The body must be application/json.',
  },
  precondition_required: {
    status: 428,
    type: 'invalid_request_error',
    retry: false,
    message: 'Send If-Match with the ETag that was read, so that no change of others is lost.',
  },
  headers_too_many: {
    status: 431,
    type: 'invalid_request_error',
    retry: false,
    message: 'The request has too many headers.',
  },
  rate_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    message: 'The provider limits the rate of requests. Try again later.',
  },
  too_many_requests: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    message: 'Too many requests. Try again later.',
  },
  internal: { status: 500, type: 'server_error', retry: false, message: 'The gateway failed to handle this request.' },
  upstream_failed: { status: 502, type: 'server_error', retry: true, message: 'Every upstream for this model failed.' },
  upstream_credential: {
    status: 502,
    type: 'server_error',
    retry: false,
    message: 'The provider refused the credential of this gateway. The operator has to mend it.',
  },
  mail_failed: {
    status: 502,
    type: 'server_error',
    retry: true,
    message: 'The mail could not be sent. Try again soon.',
  },
  mail_not_configured: {
    status: 503,
    type: 'server_error',
    retry: false,
    message: 'This gateway sends no mails. The operator has to configure Resend or SMTP.',
  },
  deletion_pending: {
    status: 503,
    type: 'server_error',
    retry: true,
    message: 'The account is being deleted. What is left of it follows by itself.',
  },
  ledger_unavailable: {
    status: 503,
    type: 'server_error',
    retry: true,
    message: 'The ledger cannot be reached, so nothing can be checked or charged. Try again soon.',
  },
  config_not_set: {
    status: 503,
    type: 'server_error',
    retry: false,
    message: 'A setting that this needs is not set. The operator has to set it.',
  },
  log_pending: {
    status: 503,
    type: 'server_error',
    retry: true,
    message: 'This is signed, but not in the public log yet. It will be within a minute: try again soon.',
  },
  streaming_speech_not_configured: {
    status: 503,
    type: 'server_error',
    retry: false,
    message: 'Speech over WebSocket is not configured. The operator has to set STREAMING_TTS_UPSTREAM.',
  },
  config_invalid: {
    status: 503,
    type: 'server_error',
    retry: false,
    message: 'The configuration of this service cannot be used. The operator has to mend it.',
  },
  config_unavailable: {
    status: 503,
    type: 'server_error',
    retry: true,
    message: 'The configuration of this service cannot be read at the moment. Try again soon.',
  },
  decrypt_failed: {
    status: 503,
    type: 'server_error',
    retry: false,
    message: 'No credential for this model can be opened. The operator has to mend it.',
  },
  settlement_pending: {
    status: 503,
    type: 'server_error',
    retry: false,
    message: 'The answer is complete but the ledger cannot be reached to settle it. Its receipt will follow.',
  },
  overloaded: {
    status: 503,
    type: 'server_error',
    retry: true,
    message: 'The gateway is at its limit. Try again soon.',
  },
  shutting_down: { status: 503, type: 'server_error', retry: true, message: 'The gateway is shutting down.' },
  upstream_timeout: { status: 504, type: 'server_error', retry: true, message: 'The provider did not answer in time.' },
} as const

export type ErrorCode = keyof typeof table

export const errorCodes = Object.keys(table) as ErrorCode[]

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
    super(options.message ?? table[code].message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? table[code].status
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
  const { type, code } = error.upstream ?? { type: table[error.code].type, code: error.code }
  const details = error.problems.length > 0 && { details: error.problems }
  return { error: { message: error.message, type, param: error.param, code, ...details } }
}

/** The headers that go with an error: whether to retry, and what the thrower adds. */
export function errorHeaders(error: AppError): Record<string, string> {
  return { 'x-should-retry': String(table[error.code].retry), ...error.headers }
}
