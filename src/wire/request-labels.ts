import { LABEL_CHARS_MAX } from '#billing/receipt.ts'

/** Labels that arrive with a request: stored and grouped by, never resolved. */
export interface RequestLabels {
  aliasName?: string
  profile?: string
  origin?: string
  /** Of the caller's lockfile. */
  lockDigest?: string
  /** For budgets alone: they stand on no receipt. */
  tags?: readonly string[]
}

// PostgreSQL text holds no NUL. What breaks lines or turns the direction of text can disguise a label in a terminal or page.
const CONTROLS = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u

const headers = {
  'x-fluxgate-alias': 'aliasName',
  'x-fluxgate-profile': 'profile',
  'x-fluxgate-origin': 'origin',
} as const

const LOCK_DIGEST = 'x-fluxgate-lock-digest'
const TAGS = 'x-fluxgate-tags'
const TAGS_MAX = 8

/**
 * Reads the label headers. Text in UTF-8 is allowed up to 255 characters, without control characters; an empty label is
 * an absent one. Returns the name of a header that breaks this instead.
 */
export function parseLabels(
  received: Record<string, string | string[] | undefined>,
): RequestLabels | { header: string; message: string } {
  let labels: RequestLabels = {}
  for (const [header, member] of Object.entries(headers)) {
    const raw = received[header]
    if (raw === undefined || raw === '') continue
    if (typeof raw !== 'string') return { header, message: 'must stand once' }
    const text = decodeHeader(raw)
    if (text === undefined) return { header, message: 'must be UTF-8 text without control characters' }
    if ([...text].length > LABEL_CHARS_MAX) return { header, message: `must be at most ${LABEL_CHARS_MAX} characters` }
    labels = { ...labels, [member]: text }
  }
  const tags = received[TAGS]
  if (tags !== undefined && tags !== '') {
    const list = typeof tags === 'string' ? [...new Set(tags.split(',').map((tag) => tag.trim()))] : []
    if (list.length === 0 || list.length > TAGS_MAX || !list.every((tag) => /^[!-+\--~]{1,64}$/.test(tag)))
      return {
        header: TAGS,
        message: `must be 1 to ${TAGS_MAX} tags of 1 to 64 visible ASCII characters, separated by commas`,
      }
    labels = { ...labels, tags: list }
  }
  const digest = received[LOCK_DIGEST]
  if (digest === undefined || digest === '') return labels
  if (typeof digest !== 'string' || !/^[!-~]{1,128}$/.test(digest))
    return { header: LOCK_DIGEST, message: 'must be 1 to 128 visible ASCII characters' }
  return { ...labels, lockDigest: digest }
}

/** Header values reach us as Latin-1 bytes; what they spell is UTF-8. */
function decodeHeader(raw: string): string | undefined {
  if (/^[\x20-\x7e]*$/.test(raw)) return raw
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(raw, 'latin1'))
    return CONTROLS.test(text) ? undefined : text
  } catch {
    return undefined
  }
}
