const CHARS_MAX = 254

/**
 * Whether a text is one e-mail address, so plain that it cannot become two, a header or markup: no spaces, quotes, commas,
 * brackets or control characters, one @. Addresses that the standard allows beyond that are refused.
 */
export function isMailAddress(text: string): boolean {
  return text.length <= CHARS_MAX && /^[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]{1,64}@[\p{L}\p{N}][\p{L}\p{N}.-]*$/u.test(text)
}
