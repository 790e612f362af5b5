// Strict Base64 for bytes that are signed or compared: one spelling per value, in Node and in browsers.

/** Decodes standard Base64 with padding; undefined for anything that would not encode back to the same text. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  let binary: string
  try {
    binary = atob(text)
  } catch {
    return undefined
  }
  // atob skips white space, forgives padding and ignores stray bits; the way back does not.
  if (btoa(binary) !== text) return undefined
  return Uint8Array.from(binary, (char) => char.charCodeAt(0))
}

/** Decodes Base64url without padding; undefined for anything that would not encode back to the same text. */
export function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined
  const standard = text.replaceAll('-', '+').replaceAll('_', '/')
  return decodeBase64(standard.padEnd(Math.ceil(standard.length / 4) * 4, '='))
}
