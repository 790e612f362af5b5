import { assert } from '#lib/assert.ts'

/**
 * Our own count, for calls whose provider reports no usage. It is the vocabulary of OpenAI's newer models (o200k); other
 * providers' tokenizers differ by some per cent, which is why such usage says `counted`.
 */
export interface TokenCount {
  tokens: number
  /** False when some of it was estimated: a document, or text that was too much work to count whole. */
  exact: boolean
}

type Encoding = { countTokens: (text: string, options: { disallowedSpecial: Set<string> }) => number }

let encoding: Encoding | undefined

/** Loads the vocabulary: 150 ms and 60 MB, so not at start-up. Await it once before counting; later calls are free. */
export async function loadTokenizer(): Promise<void> {
  if (encoding !== undefined) return
  const loaded = await import('gpt-tokenizer/encoding/o200k_base')
  loaded.setMergeCacheSize(MERGE_CACHE_ENTRIES)
  encoding = loaded
}

/** Tokens of a text; special tokens in it count as the text they are. Never throws once the tokenizer is loaded. */
export function countTokens(text: string): number {
  return countTexts([text]).tokens
}

/**
 * The prompt of a chat request as OpenAI lays it out: all that each message says and is, also in members that only some
 * providers read; tools as JSON, pictures flat.
 */
export function countPrompt(request: {
  messages: readonly unknown[]
  tools?: unknown
  functions?: unknown
  response_format?: unknown
}): TokenCount {
  const texts: string[] = []
  let fixed = REPLY_TOKENS
  let opaque = 0

  function collect(value: unknown): void {
    if (typeof value !== 'string') {
      if (isObject(value)) for (const member of Object.values(value)) collect(member)
    } else if (isPayload(value)) opaque += value.length
    else texts.push(value)
  }

  function addPart(part: unknown): void {
    if (!isObject(part)) {
      collect(part)
      return
    }
    const { type, text, cache_control, ...rest } = part
    if (type === 'image_url' && !isDocument(part)) {
      fixed += imageDetail(part) === 'low' ? IMAGE_LOW_TOKENS : IMAGE_TOKENS
      delete rest.image_url
    } else if (type === 'input_audio') {
      fixed += audioTokens(payloadBytes(part), AUDIO_BYTES_PER_TOKEN)
      delete rest.input_audio
    } else if (typeof text !== 'string') {
      const { length } = JSON.stringify(part)
      opaque += holdsPayload(part) ? length : Math.max(length, ELSEWHERE_TOKENS * DOCUMENT_BYTES_PER_TOKEN)
      return
    }
    if (typeof text === 'string') texts.push(text)
    collect(rest)
  }

  for (const message of request.messages) {
    if (!isObject(message)) continue
    fixed += MESSAGE_TOKENS
    for (const [name, value] of Object.entries(message)) {
      if (name === 'content' && Array.isArray(value)) value.forEach(addPart)
      else if (calls.has(name) && isObject(value)) texts.push(JSON.stringify(value))
      else if (spoken.has(name) && typeof value === 'string') texts.push(value)
      else if (name !== 'cache_control') collect(value)
    }
  }
  for (const schema of [request.tools, request.functions, request.response_format]) {
    if (isObject(schema)) texts.push(JSON.stringify(schema))
  }
  const counted = countTexts(texts)
  const tokens = counted.tokens + fixed + Math.ceil(opaque / DOCUMENT_BYTES_PER_TOKEN)
  return { tokens, exact: counted.exact && opaque === 0 }
}

const calls = new Set(['tool_calls', 'function_call'])
/** What stands here is text, whatever it looks like; elsewhere there may be signatures and stored sound. */
const spoken = new Set(['content', 'reasoning_content', 'reasoning', 'refusal', 'name'])

/** What of a request's body is not text. */
export interface Attachments {
  /** Base64 payloads of images and audio, in bytes. They are not read as text. */
  dataUrlBytes: number
  /** Image parts, inline or by URL. */
  images: number
  /** The audio part of dataUrlBytes. */
  audioBytes: number
  /** Parts whose size in tokens nothing in the request bounds: documents, also as images, videos, ids of stored files. */
  unbounded: number
}

/** Looks through the content parts of all messages. */
export function measureAttachments(messages: readonly unknown[]): Attachments {
  const found: Attachments = { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 0 }
  for (const message of messages) {
    const content = isObject(message) ? message.content : undefined
    for (const part of Array.isArray(content) ? content : []) {
      if (!isObject(part)) continue
      if (part.type === 'image_url' && isDocument(part)) {
        found.unbounded += 1
      } else if (part.type === 'image_url') {
        found.images += 1
        found.dataUrlBytes += payloadBytes(part)
      } else if (part.type === 'input_audio') {
        found.audioBytes += payloadBytes(part)
        found.dataUrlBytes += payloadBytes(part)
      } else if (part.type !== 'text' && part.type !== 'refusal') {
        found.unbounded += 1
      }
    }
  }
  return found
}

/**
 * More prompt tokens than this no provider can count, whatever its tokenizer: a byte-level BPE never makes more tokens
 * than bytes, and JSON is never shorter than the text in it. Base64 payloads are taken out, since they become image and
 * audio tokens, for which the constants stand. Holds for requests without `unbounded` attachments.
 */
export function promptTokensUpperBound(body: { bodyBytes: number } & Omit<Attachments, 'unbounded'>): number {
  return (
    Math.max(0, body.bodyBytes - body.dataUrlBytes) +
    HIDDEN_PROMPT_TOKENS_MAX +
    body.images * IMAGE_TOKENS_MAX +
    audioTokens(body.audioBytes, AUDIO_BYTES_PER_TOKEN_MIN)
  )
}

/** Start and end marks of a message, and of the answer that the prompt opens. */
export const MESSAGE_TOKENS = 3
export const REPLY_TOKENS = 3

/** OpenAI's tiles: 85 for low detail; a square picture of 1,024 pixels is 765. */
const IMAGE_LOW_TOKENS = 85
const IMAGE_TOKENS = 765

/** The dearest picture on the market: 8 tiles on gpt-4o-mini are 2,833 + 8 × 5,667 = 48,169 tokens. */
const IMAGE_TOKENS_MAX = 50_000

/** A page of a document is some 50 kB of base64 and 1,500 tokens: the order of magnitude is all that can be known. */
export const DOCUMENT_BYTES_PER_TOKEN = 33

/** A document, video or picture that lies elsewhere: the order of magnitude is all that can be known. */
export const ELSEWHERE_TOKENS = 3_000

/** Shorter text without a space may be a word or an id. */
const PAYLOAD_CHARS_MIN = 256

/** Ten tokens a second (OpenAI) of 64 kbit/s sound, in base64 bytes per token. */
const AUDIO_BYTES_PER_TOKEN = 1_066

/** 32 tokens a second (Google) of 8 kbit/s sound: nothing intelligible is denser. */
const AUDIO_BYTES_PER_TOKEN_MIN = 41

/** What providers put in front of a prompt unasked: chat templates, tool instructions (Anthropic ~530), house rules (xAI ~160). */
const HIDDEN_PROMPT_TOKENS_MAX = 1_024

/** Merging one piece is quadratic in its length, so runs without a natural boundary are cut. Costs at most a token per cut. */
const RUN_CHARS_MAX = 128

/** Texts are counted in slices; the work of a slice is its characters, times DENSE_WORK where little was found whole. */
const SLICE_CHARS = 4_096
const SLICE_SEARCH_CHARS = 256
const WORK_MAX = 1_048_576
const DENSE_WORK = 16
const DENSE_TOKENS_PER_CHAR = 0.35

/** Larger caches are slower, and keep more of the customers' words in memory. */
const MERGE_CACHE_ENTRIES = 4_096

const options = { disallowedSpecial: new Set<string>() }

/**
 * Counts slices in a spread order until all are counted or the work is used up; then the rest is taken to be like what
 * was counted. So a megabyte of prose is exact, and a megabyte of noise costs a fraction of a second, not many.
 */
export function countTexts(texts: readonly string[]): TokenCount {
  const slices = texts.flatMap((text) =>
    sliceEnds(text).map((end, i, ends) => ({ text, start: ends[i - 1] ?? 0, end })),
  )
  const stride = coprimeStride(slices.length)
  let tokens = 0
  let chars = 0
  let work = 0
  for (let n = 0; n < slices.length; n += 1) {
    const slice = slices[(n * stride) % slices.length]
    assert(slice, 'the stride stays within the slices')
    const length = slice.end - slice.start
    const counted = countSlice(slice.text.slice(slice.start, slice.end))
    tokens += counted
    chars += length
    work += counted > length * DENSE_TOKENS_PER_CHAR ? length * DENSE_WORK : length
    if (work > WORK_MAX && n + 1 < slices.length) {
      const total = slices.reduce((sum, { start, end }) => sum + end - start, 0)
      return { tokens: Math.round((tokens / chars) * total), exact: false }
    }
  }
  return { tokens, exact: true }
}

/** Cuts before a space where there is one, since a token may begin with a space but not end with it. */
function sliceEnds(text: string): number[] {
  const ends: number[] = []
  let start = 0
  while (start < text.length) {
    let end = Math.min(start + SLICE_CHARS, text.length)
    if (end < text.length) {
      const space = text.slice(end - SLICE_SEARCH_CHARS, end + 1).lastIndexOf(' ')
      if (space > 0) end += space - SLICE_SEARCH_CHARS
      else if (isLowSurrogate(text.charCodeAt(end))) end -= 1
    }
    ends.push(end)
    start = end
  }
  return ends
}

/** A step through all slices that is close to the golden section of their number, so that any prefix is well spread. */
function coprimeStride(count: number): number {
  let stride = Math.max(1, Math.round(count * 0.618))
  while (greatestCommonDivisor(stride, count) !== 1) stride += 1
  return stride
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}

/**
 * The tokenizer splits text into runs of letters, of digits (three at most) and of everything else. What is neither an
 * ASCII letter, digit nor sign may belong to either kind, so it lengthens both.
 */
function countSlice(text: string): number {
  assert(encoding, 'the tokenizer is loaded before it is asked')
  let tokens = 0
  let from = 0
  let letters = 0
  let others = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    const kind = kindOf(code)
    letters = kind === 'letter' || kind === 'either' ? letters + 1 : 0
    others = kind === 'other' || kind === 'either' ? others + 1 : 0
    if ((letters > RUN_CHARS_MAX || others > RUN_CHARS_MAX) && !isLowSurrogate(code)) {
      tokens += encoding.countTokens(text.slice(from, at), options)
      from = at
      letters = 1
      others = 1
    }
  }
  return tokens + encoding.countTokens(from === 0 ? text : text.slice(from), options)
}

function kindOf(code: number): 'letter' | 'digit' | 'other' | 'either' {
  if (code >= 0x30 && code <= 0x39) return 'digit'
  if ((code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a)) return 'letter'
  // CJK and full-width punctuation ends a run of ideographs as an ASCII sign ends a word.
  return code < 0x80 || (code >= 0x3000 && code <= 0x303f) || (code >= 0xff00 && code <= 0xff0f) ? 'other' : 'either'
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}

function imageDetail(part: Record<string, unknown>): unknown {
  return isObject(part.image_url) ? part.image_url.detail : undefined
}

/** Some providers read any data URL or stored file that is given as a picture: a PDF of a thousand pages is none. */
function isDocument(part: Record<string, unknown>): boolean {
  const url = isObject(part.image_url) ? part.image_url.url : part.image_url
  return typeof url === 'string' && !/^(?:https?:|data:image\/)/i.test(url)
}

/** Whether text is long base64: a picture, sound or a signature, of which no tokenizer makes words. */
export function isPayload(text: string): boolean {
  return text.length >= PAYLOAD_CHARS_MIN && /^(?:data:[^,]{0,200};base64,)?[-_A-Za-z0-9+/]+={0,2}$/.test(text)
}

function holdsPayload(value: unknown): boolean {
  return typeof value === 'string' ? isPayload(value) : isObject(value) && Object.values(value).some(holdsPayload)
}

/** Length of the base64 in an image's data URL or in an audio part; 0 for what lies elsewhere. */
function payloadBytes(part: Record<string, unknown>): number {
  const audio = isObject(part.input_audio) ? part.input_audio.data : undefined
  if (typeof audio === 'string') return audio.length
  const image = isObject(part.image_url) ? part.image_url.url : part.image_url
  if (typeof image !== 'string' || !image.startsWith('data:')) return 0
  const comma = image.indexOf(',')
  return comma === -1 || !image.slice(0, comma).endsWith(';base64') ? 0 : image.length - comma - 1
}

function audioTokens(bytes: number, bytesPerToken: number): number {
  return Math.ceil(bytes / bytesPerToken)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
