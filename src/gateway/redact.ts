/**
 * The text without `credential`, however it is escaped in it, and without anything else that has the shape of a key: a
 * relay in between may quote a credential of its own. Give it text that has been parsed, and cut it afterwards.
 */
export function redact(text: string, credential: string | undefined): string {
  const exact = credential?.trim() ? text.toWellFormed().replace(exactly(credential.trim()), REDACTED) : text
  return keyShapes.reduce((rest, shape) => rest.replace(shape, REDACTED), exact.toWellFormed())
}

const REDACTED = '[redacted]'

const TOKEN = '[-_A-Za-z0-9*]'
// What only looks like a key, as `skip_special_tokens` or `Bearer authentication`, has no digit; masked keys have stars.
const DIGIT_AHEAD = '(?=[-._~+/=A-Za-z*]{0,200}[0-9*])'

/** Every repetition that can fail is bounded: these read what others wrote. */
const keyShapes = [
  /(?<=:\/\/)[^\s/?#]{1,400}(?=@)/g,
  new RegExp(`(?<=\\bBearer[\\s"':=]{1,8})${DIGIT_AHEAD}[-._~+/=A-Za-z0-9*]{8,}`, 'gi'),
  new RegExp(`\\b(?:sk|pk|rk|csk|gsk|xai|key|hf|r8|pplx|nvapi|ghp)[-_]${DIGIT_AHEAD}${TOKEN}{10,}`, 'g'),
  new RegExp(`\\bAIza${TOKEN}{20,}`, 'g'),
  /\b(?:AKIA|ASIA)[A-Z0-9*]{12,}/g,
  /\beyJ[-_A-Za-z0-9*]{10,}(?:\.[-_A-Za-z0-9*]+){0,4}/g,
]

/** A quoted body may stand in a message as text, so its characters may still be escaped for JSON or a URL. */
function exactly(credential: string): RegExp {
  const characters = Array.from({ length: credential.length }, (_, index) => {
    const hex = credential.charCodeAt(index).toString(16)
    const code = hex.padStart(4, '0')
    return `(?:\\\\{0,4}\\u${code}|\\\\{1,4}u${code}${hex.length <= 2 ? `|%${hex.padStart(2, '0')}` : ''})`
  })
  return new RegExp(characters.join(''), 'gi')
}
