import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'

// What the unmodified llmring client sends, byte for byte: bodies as its Python writes them, headers as its HTTP library
// does, both headers with the key, empty parameters where it knows nothing.

export interface ClientAnswer {
  status: number
  headers: IncomingHttpHeaders
  // biome-ignore lint/suspicious/noExplicitAny: tests look into foreign JSON, and a wrong path fails them.
  json: any
}

const REDIRECTS_MAX = 20

export function createLlmringCalls(options: { serverUrl: string; apiKey: string | undefined }) {
  // The client strips what is at the end of its address.
  const base = options.serverUrl.replace(/\/+$/, '')
  let redirects = 0

  async function send(method: string, path: string, body?: string): Promise<ClientAnswer> {
    let url = new URL(`${base}${path}`)
    for (let hop = 0; hop <= REDIRECTS_MAX; hop += 1) {
      const answer = await once(method, url, body)
      const { location } = answer.headers
      if (answer.status < 300 || answer.status >= 400 || location === undefined) return answer
      redirects += 1
      url = new URL(location, url)
    }
    throw new Error('too many redirects')
  }

  function once(method: string, url: URL, body: string | undefined): Promise<ClientAnswer> {
    const { apiKey } = options
    return new Promise((resolve, reject) => {
      const request = httpRequest(url, {
        method,
        agent: false,
        headers: {
          Accept: '*/*',
          'Accept-Encoding': 'gzip, deflate',
          Connection: 'keep-alive',
          'User-Agent': 'python-httpx/0.28.1',
          'Content-Type': 'application/json',
          ...(apiKey !== undefined && { Authorization: `Bearer ${apiKey}`, 'X-API-Key': apiKey }),
          ...(body !== undefined && { 'Content-Length': Buffer.byteLength(body) }),
        },
      })
      request.on('error', reject).on('response', (response) => {
        const chunks: Buffer[] = []
        response
          .on('data', (chunk: Buffer) => chunks.push(chunk))
          .on('error', reject)
          .on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8')
            // Whatever is not JSON makes the client fail.
            resolve({ status: response.statusCode ?? 0, headers: response.headers, json: JSON.parse(text) })
          })
      })
      request.end(body)
    })
  }

  /** A successful answer, as the client's raise_for_status and json() take it. */
  async function ok(method: string, path: string, body?: string): Promise<ClientAnswer['json']> {
    const answer = await send(method, path, body)
    if (answer.status < 200 || answer.status > 299)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.json)}`)
    return answer.json
  }

  return {
    send,
    redirects: () => redirects,

    /** Usage of a call by alias, without content. */
    logUsage: () =>
      ok(
        'POST',
        '/api/v1/log',
        '{"model":"gpt-4o-mini","provider":"openai","input_tokens":1000,"output_tokens":200,"cached_input_tokens":400,"origin":"llmring","alias":"summarizer","profile":"prod","cost":0.00024,"metadata":{"model_alias":"openai:gpt-4o-mini","finish_reason":"stop"}}',
      ),

    /** With `log_conversations`: the conversation, and then its usage with the id that was answered. */
    async logConversation(): Promise<{ conversation: ClientAnswer['json']; usage: ClientAnswer['json'] }> {
      const conversation = await ok(
        'POST',
        '/api/v1/conversations/log',
        '{"messages":[{"role":"user","content":"hi","tool_calls":null,"tool_call_id":null,"timestamp":null,"metadata":null}],"response":{"content":"yo","model":"openai:gpt-4o-mini","finish_reason":"stop","usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200,"cached_tokens":400,"cost":0.00024}},"metadata":{"provider":"openai","model":"gpt-4o-mini","alias":"summarizer","profile":null,"origin":"myapp","cost":0.00024,"input_cost":9e-05,"output_cost":0.00012,"input_tokens":1000,"output_tokens":200,"cached_tokens":400}}',
      )
      const id: string = conversation.conversation_id
      const usage = await ok(
        'POST',
        '/api/v1/log',
        `{"model":"gpt-4o-mini","provider":"openai","input_tokens":1000,"output_tokens":200,"cached_input_tokens":400,"origin":"myapp","alias":"summarizer","cost":0.00024,"id_at_origin":"${id}","metadata":{"model_alias":"openai:gpt-4o-mini","finish_reason":"stop","conversation_id":"${id}"}}`,
      )
      return { conversation, usage }
    },

    /** `@log_llm_call` around the SDK of a provider: one of the two, never both, and no cost. */
    decorated: {
      usage: () =>
        ok(
          'POST',
          '/api/v1/log',
          '{"model":"gpt-4o-mini","provider":"openai","input_tokens":10,"output_tokens":5,"cached_input_tokens":0,"origin":"llmring-decorator","metadata":{"model_alias":"openai:gpt-4o-mini","finish_reason":"stop"}}',
        ),
      conversation: () =>
        ok(
          'POST',
          '/api/v1/conversations/log',
          '{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"response":{"content":"yo","model":"gpt-4o-mini","finish_reason":"stop","usage":{"prompt_tokens":10,"completion_tokens":5}},"metadata":{"provider":"openai","model":"gpt-4o-mini","alias":null,"origin":"llmring-decorator","input_tokens":10,"output_tokens":5,"cached_tokens":0}}',
        ),
    },

    /** `LLMRingSession`: opens, adds one exchange, and reads by addresses without a prefix. */
    async session() {
      const opened = await ok(
        'POST',
        '/api/v1/conversations',
        '{"title":"a session","system_prompt":"be kind","model_alias":"summarizer","temperature":0.7,"max_tokens":null}',
      )
      const { id } = opened
      const added = await ok(
        'POST',
        `/api/v1/conversations/${id}/messages/batch`,
        `{"conversation_id":"${id}","messages":[{"role":"user","content":"hi","metadata":{}},{"role":"assistant","content":"yo","metadata":{"model":"openai:gpt-4o-mini"},"input_tokens":1000,"output_tokens":200}],"logging_level":"full"}`,
      )
      const read = await ok('GET', `/conversations/${id}?message_limit=50`)
      const list = await ok('GET', '/conversations?limit=20&offset=0')
      return { opened, added, read, list }
    },

    /** The command line. What was not given is sent as an empty text. */
    cli: {
      health: () => ok('GET', '/health'),
      stats: () => send('GET', '/api/v1/stats?start_date=&end_date=&group_by=day'),
      logs: () => send('GET', '/api/v1/logs?limit=50&offset=0&alias=&model=&origin=&start_date=&end_date='),
      conversations: () => ok('GET', '/api/v1/conversations/?limit=20&offset=0'),
      conversation: (id: string) => ok('GET', `/api/v1/conversations/${id}`),
      messages: (id: string) => ok('GET', `/api/v1/conversations/${id}/messages`),
    },

    /** The client of August 2025, before aliases became local. */
    aliases: {
      push: () =>
        send(
          'POST',
          '/api/v1/aliases/bulk_upsert?profile=default',
          '[{"alias":"summarizer","model":"openai:gpt-4o-mini"}]',
        ),
      pull: () => send('GET', '/api/v1/aliases/?profile=default'),
    },
  }
}
