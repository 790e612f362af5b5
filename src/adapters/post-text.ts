import { readText } from '#lib/read-text.ts'

const ANSWER_BYTES_MAX = 65_536

/**
 * Sends a text and reads the whole answer, whatever its status. Throws after `timeoutMs`, and for a redirect: it could lead to anywhere.
 */
export async function postText(
  url: string,
  body: string,
  timeoutMs: number,
): Promise<{ status: number; type: string; text: string }> {
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  })
  const text = response.body === null ? '' : await readText(response.body, ANSWER_BYTES_MAX)
  return { status: response.status, type: response.headers.get('content-type') ?? '', text }
}
