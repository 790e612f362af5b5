import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { ADD_CHECKPOINT_BYTES_MAX, type LogWitness } from '#domain/log/witness.ts'
import { readText } from '#lib/read-text.ts'

/** The two routes of a witness. */
export function serveWitness(witness: LogWitness, onError: (error: unknown) => void): RequestListener {
  return (request, response) => {
    handle(witness, request, response).catch((error: unknown) => {
      onError(error)
      if (!response.headersSent) answer(response, 500, 'the witness failed\n')
      else response.destroy()
    })
  }
}

async function handle(witness: LogWitness, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').split('?')[0] ?? ''
  if (path === '/add-checkpoint') {
    if (request.method !== 'POST') return answer(response, 405, 'POST a checkpoint\n')
    let body: string
    try {
      body = await readText(request, ADD_CHECKPOINT_BYTES_MAX)
    } catch {
      return answer(response, 400, 'the body is too long, broken off or not UTF-8\n')
    }
    const { status, type, body: text } = await witness.addCheckpoint(body)
    return answer(response, status, text, type)
  }
  const hash = /^\/([0-9a-f]{64})\/checkpoint$/.exec(path)?.[1]
  const checkpoint = hash === undefined || request.method !== 'GET' ? undefined : await witness.newest(hash)
  if (checkpoint === undefined) return answer(response, 404, 'there is nothing here\n')
  return answer(response, 200, checkpoint)
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text)
}
