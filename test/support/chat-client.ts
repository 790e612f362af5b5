import { Agent, type IncomingHttpHeaders, request } from 'node:http'

export interface ChatOptions {
  url: string
  key: string
  body: Record<string, unknown>
  headers?: Record<string, string>
  agent?: Agent
  /** Hangs up when it fires. */
  signal?: AbortSignal
  /** Every piece of the answer, with all of it so far. */
  onData?: (sofar: string) => void
}

/** What a client saw of one call. */
export interface ChatResult {
  /** 0 when no status line came. */
  status: number
  headers: IncomingHttpHeaders
  body: string
  /** The answer came to its end; false when the connection broke or was hung up. */
  ended: boolean
  /** `rcp_` and the call's id, as soon as the client was told. */
  receipt: string | undefined
  /** What a complete answer says it was charged, in nano-dollars. */
  charged: bigint | undefined
  /** Complete: the whole body, or a stream with its receipt and then `[DONE]`. */
  acknowledged: boolean
  /** The text of the answer so far. */
  content: string
  /** `error.code` of an answer, or of the last frame of a stream. */
  errorCode: string | undefined
  /** Why there is no answer. */
  failure: Error | undefined
}

/** Makes one chat call and reads it to its end, however it ends. Never rejects. */
export function chat(options: ChatOptions): Promise<ChatResult> {
  return new Promise((resolve) => {
    let status = 0
    let headers: IncomingHttpHeaders = {}
    let body = ''
    let over = false
    const finish = (ended: boolean, failure?: Error) => {
      if (over) return
      over = true
      resolve(read({ status, headers, body, ended, failure }))
    }
    const text = JSON.stringify(options.body)
    const call = request(`${options.url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${options.key}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
        ...options.headers,
      },
      ...(options.agent && { agent: options.agent }),
      ...(options.signal && { signal: options.signal }),
    })
    call.on('error', (error) => finish(false, error))
    call.on('response', (response) => {
      status = response.statusCode ?? 0
      headers = response.headers
      response.setEncoding('utf8')
      response.on('data', (piece: string) => {
        body += piece
        options.onData?.(body)
      })
      response.on('error', (error) => finish(false, error))
      response.on('close', () => finish(response.complete))
    })
    call.end(text)
  })
}

function read(seen: Pick<ChatResult, 'status' | 'headers' | 'body' | 'ended' | 'failure'>): ChatResult {
  const { status, headers, body, ended } = seen
  const stream = /^text\/event-stream/.test(headers['content-type'] ?? '')
  const comment = /^: fluxgate receipt=(rcp_\w+) charged_nanousd=(\d+)$/m.exec(body)
  const charged = stream ? comment?.[2] : headers['x-fluxgate-charged-nanousd']
  const acknowledged = status === 200 && ended && (!stream || (comment !== null && /\ndata: \[DONE\]\n\n$/.test(body)))
  return {
    ...seen,
    receipt: header(headers['x-fluxgate-receipt']) ?? comment?.[1],
    charged: typeof charged === 'string' ? BigInt(charged) : undefined,
    acknowledged,
    content: stream ? streamedText(body) : wholeText(body),
    errorCode: stream ? errorOf(lastFrame(body)) : errorOf(body),
  }
}

function header(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

/** `data:` of every whole frame; a frame that the break cut in two is no frame. */
function frames(body: string): string[] {
  const whole = body.slice(0, body.lastIndexOf('\n\n') + 2)
  return [...whole.matchAll(/^data: (.*)$/gm)].map((match) => match[1] ?? '')
}

function lastFrame(body: string): string {
  return frames(body).at(-1) ?? ''
}

function streamedText(body: string): string {
  return frames(body)
    .map((frame) => parse<{ choices?: { delta?: { content?: string } }[] }>(frame)?.choices?.[0]?.delta?.content ?? '')
    .join('')
}

function wholeText(body: string): string {
  return parse<{ choices?: { message?: { content?: string } }[] }>(body)?.choices?.[0]?.message?.content ?? ''
}

function errorOf(text: string): string | undefined {
  return parse<{ error?: { code?: string } }>(text)?.error?.code ?? undefined
}

function parse<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}

/** Connections that are kept and used again, as a client library keeps them. */
export function keptConnections(): Agent {
  return new Agent({ keepAlive: true })
}
