/** What a client of streaming speech may send. Anything else is refused, so that no text reaches a vendor uncounted. */
export type ClientFrame =
  | { event: 'authenticate'; token: string }
  | { event: 'start'; model: string | undefined; frame: Readonly<Record<string, unknown>> }
  | { event: 'text'; text: string }
  | { event: 'finish' }
  | { event: 'cancel' }
  | { event: 'invalid'; code: 'invalid_frame' | 'invalid_start_frame' }

const TOKEN_CHARS_MAX = 512
const NAME_CHARS_MAX = 255
const START_LEVELS_MAX = 8

export function readClientFrame(text: string): ClientFrame {
  const frame = parsed(text)
  if (frame === undefined) return INVALID
  const { event, token, text: said, model, voice } = frame
  if (event === 'authenticate')
    return typeof token === 'string' && token !== '' && token.length <= TOKEN_CHARS_MAX ? { event, token } : INVALID
  if (event === 'finish' || event === 'cancel') return { event }
  if (event === 'text') return typeof said === 'string' && said.isWellFormed() ? { event, text: said } : INVALID
  if (event !== 'start') return INVALID
  const spoken = ['text', 'input', 'ssml'].some((name) => frame[name] !== undefined)
  if (spoken || !isName(model) || !isName(voice) || nestsDeeper(frame, START_LEVELS_MAX)) return INVALID_START
  return { event, model: typeof model === 'string' && model !== '' && model !== 'auto' ? model : undefined, frame }
}

const INVALID: ClientFrame = { event: 'invalid', code: 'invalid_frame' }
const INVALID_START: ClientFrame = { event: 'invalid', code: 'invalid_start_frame' }

/** What the gateway must know of a text frame of the upstream. */
export interface VendorFrame {
  event: string
  /** Characters that a finished session says it has spoken. */
  characters: number | undefined
  code: string | undefined
}

export function readVendorFrame(text: string): VendorFrame {
  const frame = parsed(text) ?? {}
  const payload = objectOf(frame.payload)
  const words = objectOf(payload.usage).text_words
  const code = payload.code ?? frame.code
  return {
    event: typeof frame.event === 'string' ? frame.event : '',
    characters: typeof words === 'number' && Number.isFinite(words) && words >= 0 ? Math.floor(words) : undefined,
    code: typeof code === 'string' || typeof code === 'number' ? String(code) : undefined,
  }
}

function parsed(text: string): Record<string, unknown> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function isName(value: unknown): boolean {
  if (value === undefined || value === null) return true
  return typeof value === 'string' && value.length <= NAME_CHARS_MAX && !/\p{Cc}|\p{Cs}/u.test(value)
}

function nestsDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  return Object.values(value).some((inner) => nestsDeeper(inner, levels - 1))
}
