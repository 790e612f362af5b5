/** A source was longer than its reader allows. */
class TooLongError extends Error {
  override readonly name = 'TooLongError'
}

/**
 * Reads a whole stream as UTF-8. Throws TooLongError as soon as it exceeds the limit, and TypeError for bytes that are not
 * UTF-8, which would otherwise be replaced without a word.
 */
export async function readText(source: AsyncIterable<unknown>, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of source) {
    const bytes = chunk instanceof Uint8Array ? chunk : Buffer.from(String(chunk))
    length += bytes.byteLength
    if (length > bytesMax) throw new TooLongError(`longer than ${bytesMax} bytes`)
    chunks.push(bytes)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
}
