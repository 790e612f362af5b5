import type { AppError, ErrorCode } from '#src/errors.ts'

interface AiriBody {
  error: string
  message: string
  details?: Record<string, unknown>
}

/** Codes and words that AIRI's clients know; statuses where they differ from ours. What is missing follows its status. */
const rows: Partial<Record<ErrorCode, { status?: number; error: string; message?: string }>> = {
  model_not_found: { status: 400, error: 'BAD_REQUEST', message: 'unknown_model' },
  insufficient_quota: { error: 'PAYMENT_REQUIRED', message: 'Insufficient flux' },
  wallet_frozen: { error: 'PAYMENT_REQUIRED' },
  budget_exceeded: { error: 'PAYMENT_REQUIRED' },
  rate_limit_exceeded: { status: 503, error: 'SERVICE_UNAVAILABLE', message: 'Upstream rate-limited' },
  upstream_failed: { error: 'BAD_GATEWAY', message: 'Upstream unavailable' },
  upstream_credential: { error: 'BAD_GATEWAY', message: 'Upstream unavailable' },
  upstream_timeout: { error: 'GATEWAY_TIMEOUT', message: 'Upstream timeout' },
  decrypt_failed: { error: 'DECRYPT_FAILED' },
  model_missing: { error: 'MISSING_MODEL' },
  streaming_speech_not_configured: { error: 'STREAMING_TTS_NOT_CONFIGURED' },
  config_not_set: { error: 'CONFIG_NOT_SET' },
  config_invalid: { error: 'CONFIG_INVALID' },
  config_unavailable: { error: 'CONFIG_UNAVAILABLE' },
  mail_not_configured: { error: 'email/service_not_configured' },
  mail_failed: { error: 'email/send_failed' },
  payments_not_configured: { error: 'STRIPE_NOT_CONFIGURED' },
  package_invalid: { error: 'INVALID_PACKAGE' },
  origin_invalid: { error: 'INVALID_ORIGIN' },
  no_customer: { error: 'NO_CUSTOMER', message: 'No billing account found' },
  signature_missing: { error: 'MISSING_SIGNATURE' },
  signature_invalid: { error: 'WEBHOOK_ERROR' },
  internal: { error: 'INTERNAL_SERVER_ERROR', message: 'Internal Server Error' },
}

const byStatus: Readonly<Record<number, string>> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHORIZED',
  402: 'PAYMENT_REQUIRED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  409: 'CONFLICT',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'TOO_MANY_REQUESTS',
  431: 'REQUEST_HEADER_FIELDS_TOO_LARGE',
  502: 'BAD_GATEWAY',
  503: 'SERVICE_UNAVAILABLE',
  504: 'GATEWAY_TIMEOUT',
}

/** What AIRI's clients are told when an upstream cannot be reached or breaks the connection: there it is a time-out. */
const unreachable = { status: 504, error: 'GATEWAY_TIMEOUT', message: 'Upstream timeout' }

function isUnreachable({ code, details }: AppError): boolean {
  if (code !== 'upstream_failed' || !Array.isArray(details.faults)) return false
  const last = (details.faults as { code?: unknown }[]).at(-1)
  return last?.code === 'connect' || last?.code === 'reset'
}

/** An error in the shape of AIRI's routes: `{error: 'CODE', message, details?}`. */
export function airiError(error: AppError): { status: number; body: AiriBody } {
  const row = isUnreachable(error) ? unreachable : rows[error.code]
  const status = row?.status ?? error.status
  const fallback = status >= 500 ? 'INTERNAL_SERVER_ERROR' : 'BAD_REQUEST'
  return {
    status,
    body: {
      error: row?.error ?? byStatus[status] ?? fallback,
      message: row?.message ?? error.message,
      ...(error.publicDetails && { details: error.publicDetails }),
    },
  }
}
