import type { HttpInstance } from '#routes/http-instance.ts'
import { readVerifyPage } from '#verifier/page.ts'

/** A page that verifies receipts in the browser. Its policy stands in the page itself, so that a saved copy keeps it. */
export function verifyPageRoutes(app: HttpInstance) {
  const page = readVerifyPage()
  const policy = /http-equiv="content-security-policy" content="([^"]*)"/.exec(page)?.[1] ?? "default-src 'none'"
  app.get('/verify', { schema: { hide: true } }, async (_request, reply) =>
    reply
      .headers({
        'content-security-policy': `${policy}; frame-ancestors 'none'`,
        'cache-control': 'public, max-age=300',
      })
      .type('text/html; charset=utf-8')
      .send(page),
  )
}
