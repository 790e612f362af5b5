import { AppError } from '#src/errors.ts'

export const NAME_CHARS_MAX = 100
export const REASON_CHARS_MAX = 500

/** Checks text that operators write for operators: 1 to `charsMax` characters, no control characters. */
export function requirePlainText(value: string, param: string, charsMax: number): void {
  const chars = [...value].length
  if (chars >= 1 && chars <= charsMax && value.isWellFormed() && !/\p{Cc}/u.test(value)) return
  throw new AppError('body_invalid', {
    message: `'${param}' must be 1 to ${charsMax} characters without control characters.`,
    param,
  })
}

/** An idempotency key is 1 to 255 visible ASCII characters. */
export function requireIdempotencyKey(value: string | undefined): string {
  if (value !== undefined && /^[!-~]{1,255}$/.test(value)) return value
  throw new AppError('idempotency_key_invalid')
}
