/** A header that cannot be sent. Never repeats the value, which is or holds a secret. */
export class HeaderTemplateError extends Error {
  override readonly name = 'HeaderTemplateError'
}

const PLACE = '{KEY}'
const VALUE_CHARS_MAX = 16_384

/**
 * Puts a key into header templates such as `Bearer {KEY}`: literally, in the first place of each value. A template without
 * a place is sent as it is. Throws HeaderTemplateError where the result is no header value: line breaks and anything but
 * visible ASCII, spaces and tabs would let a key write headers of its own.
 */
export function fillHeaderTemplates(
  templates: Readonly<Record<string, string>>,
  key: string | undefined,
): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, template] of Object.entries(templates)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/.test(name)) throw new HeaderTemplateError('a header name is not a token')
    const at = template.indexOf(PLACE)
    if (at !== -1 && (key === undefined || key === ''))
      throw new HeaderTemplateError(`the header ${name} needs a key and there is none`)
    const value = at === -1 ? template : `${template.slice(0, at)}${key}${template.slice(at + PLACE.length)}`
    if (!/^[\t\x20-\x7e]*$/.test(value) || value.length > VALUE_CHARS_MAX)
      throw new HeaderTemplateError(`the value of the header ${name} has characters that a header must not have`)
    headers[name.toLowerCase()] = value
  }
  return headers
}
