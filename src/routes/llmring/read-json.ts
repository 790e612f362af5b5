import { AppError } from '#src/errors.ts'

/** Deeper nesting than this is refused before anything walks through it. */
const DEPTH_MAX = 64

/**
 * The value of a body that says it is JSON; undefined for an empty one, which clients send along with their usual headers.
 * Throws AppError body_malformed.
 */
export function readJson(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) return undefined
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new AppError('body_malformed', { message: 'The body is not UTF-8', cause })
  }
  if (depthOf(text) > DEPTH_MAX)
    throw new AppError('body_malformed', { message: `The body nests deeper than ${DEPTH_MAX}` })
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own words repeat what was sent.
    throw new AppError('body_malformed', { message: 'JSON decode error' })
  }
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 34) at = stringEnd(text, at)
    else if (code === 91 || code === 123) {
      depth += 1
      if (depth > deepest) deepest = depth
    } else if (code === 93 || code === 125) depth -= 1
  }
  return deepest
}

/** Where the string that begins here ends; the end of the text when it does not. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 92) at += 1
    else if (code === 34) return at
  }
  return text.length
}
