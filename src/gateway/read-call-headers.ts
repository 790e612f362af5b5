import type { IncomingMessage } from 'node:http'
import { AppError } from '#src/errors.ts'
import { parseLabels, type RequestLabels } from '#wire/request-labels.ts'
import { presentedKey } from './authenticate.ts'
import type { Idempotency } from './call.ts'

/** The labels that the caller puts on a call. Throws AppError label_invalid. */
export function readLabels(req: Pick<IncomingMessage, 'headers'>): RequestLabels {
  const labels = parseLabels(req.headers)
  if ('header' in labels)
    throw new AppError('label_invalid', {
      message: `The header ${labels.header} ${labels.message}.`,
      param: labels.header,
    })
  return labels
}

/** How often the caller's library says that it has tried this before. What is no such number is ignored, as clients vary. */
export function readClientRetry(req: Pick<IncomingMessage, 'headers'>): number | undefined {
  const count = req.headers['x-stainless-retry-count']
  return typeof count === 'string' && /^\d{1,3}$/.test(count) ? Number(count) : undefined
}

/** The caller's own name for a call. Throws AppError idempotency_key_invalid. */
export function readIdempotency(req: Pick<IncomingMessage, 'headers'>): Idempotency | undefined {
  const key = req.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key))
    throw new AppError('idempotency_key_invalid', { param: 'Idempotency-Key' })
  return { key, secret: `${presentedKey(req.headers) ?? ''}\n${key}` }
}
