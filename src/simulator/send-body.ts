import type { ServerResponse } from 'node:http'

/** Sends a whole body in one write; returns its size in bytes. `headers` are names and values in turn. */
export function sendBody(
  response: ServerResponse,
  status: number,
  body: string,
  headers: readonly string[] = ['content-type', 'application/json'],
): number {
  const bytes = Buffer.byteLength(body)
  response.writeHead(status, [...headers, 'content-length', String(bytes)])
  response.end(body)
  return bytes
}
