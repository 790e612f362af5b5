import type { ServerResponse } from 'node:http'

/** Sends a whole body in one write; returns its size in bytes. */
export function sendBody(
  response: ServerResponse,
  status: number,
  body: string,
  contentType = 'application/json',
  requestId?: { header: string; id: string },
): number {
  const bytes = Buffer.byteLength(body)
  const headers = ['content-type', contentType, 'content-length', String(bytes)]
  if (requestId !== undefined) headers.push(requestId.header, requestId.id)
  response.writeHead(status, headers)
  response.end(body)
  return bytes
}
