import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

const STYLE =
  'body{max-width:44rem;margin:4rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif}pre{padding:1rem;overflow-x:auto;background:#8881;border-radius:.5rem}:root{color-scheme:light dark}'

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', STYLE, 'base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Whether a client is a browser at heart: a program that takes anything does not name this type. */
export function acceptsHtml(accept: string | undefined): boolean {
  return /(?:^|[,\s])text\/html(?![^,]*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(accept ?? '')
}

/** A page for the person who opens the address in a browser. */
export function sendHome(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const address = /^[\w.:[\]-]{1,100}$/.test(request.host) ? request.host : '127.0.0.1:3000'
  return reply
    .headers({ 'content-security-policy': POLICY })
    .type('text/html; charset=utf-8')
    .send(page(`${request.protocol}://${address}`))
}

function page(base: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Fluxgate</title><style>${STYLE}</style></head>
<body>
<h1>Fluxgate</h1>
<p>A gateway for language models and speech that keeps books: every call is charged exactly once and has a receipt that anyone can verify.</p>
<p>First call, with the client key that the start printed and any OpenAI or Anthropic client:</p>
<pre>curl ${base}/v1/chat/completions \\
  -H "authorization: Bearer $FLUXGATE_API_KEY" \\
  -H "content-type: application/json" \\
  -d '{"model":"sim/echo","messages":
       [{"role":"user","content":"Hello"}]}'</pre>
<p><a href="/docs">API documentation</a> · <a href="/openapi.json">OpenAPI</a> · <a href="/receipts/public-keys.json">receipt keys</a> · <a href="/verify">verify receipts</a> ·
<a href="/readyz">readiness</a> · <a href="/metrics">metrics</a></p>
</body>
</html>
`
}
