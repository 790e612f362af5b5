import type { ServerResponse } from 'node:http'

/** Sends a whole JSON body in one write; returns its size in bytes. */
export function sendJson(response: ServerResponse, status: number, json: string, requestId?: string): number {
  const bytes = Buffer.byteLength(json)
  const headers = ['content-type', 'application/json', 'content-length', String(bytes)]
  if (requestId !== undefined) headers.push('x-request-id', requestId)
  response.writeHead(status, headers)
  response.end(json)
  return bytes
}
