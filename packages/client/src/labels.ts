import { ResolutionError } from './errors.ts'

const LABEL_CHARS_MAX = 255
const INVISIBLE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u

export interface Labels {
  aliasName?: string | undefined
  profile?: string | undefined
  /** Which program or part of it calls. */
  origin?: string | undefined
  lockDigest?: string | undefined
}

const headerOf = {
  aliasName: 'x-fluxgate-alias',
  profile: 'x-fluxgate-profile',
  origin: 'x-fluxgate-origin',
  lockDigest: 'x-fluxgate-lock-digest',
} as const

/**
 * The headers that label a call. Labels in any script are sent as their UTF-8 bytes. Throws ResolutionError `label_invalid` for what the
 * gateway would refuse: more than 255 characters, or characters that cannot be seen.
 */
export function labelHeaders(labels: Labels): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [member, header] of Object.entries(headerOf)) {
    const text = labels[member as keyof Labels]
    if (text === undefined || text === '') continue
    if ([...text].length > LABEL_CHARS_MAX || INVISIBLE.test(text) || !text.isWellFormed()) {
      const message = `${header} must be at most ${LABEL_CHARS_MAX} characters without control characters`
      throw new ResolutionError('label_invalid', text.slice(0, LABEL_CHARS_MAX), message)
    }
    // Header values are bytes, which JavaScript spells as characters up to U+00FF.
    headers[header] = String.fromCharCode(...new TextEncoder().encode(text))
  }
  return headers
}
