import { readFileSync } from 'node:fs'
import type { FastifyReply } from 'fastify'
import type { HttpInstance } from '#routes/http-instance.ts'
import { accountPage } from './account-page.ts'
import { PAGE_POLICY } from './page-shell.ts'
import { RELAY_POLICY, relayPage } from './relay-page.ts'
import { signInPages } from './sign-in-pages.ts'

const ASSETS = { css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8' }

const RELAY_PATH = '/api/auth/oidc/electron-callback'

/** The pages that people need: signing up and in, and their account. They call what any client can call. */
export function peoplePageRoutes(app: HttpInstance, deps: { social: readonly string[]; hasApps: boolean }) {
  const hidden = { schema: { hide: true } }
  const send = (reply: FastifyReply, page: string, policy = PAGE_POLICY) =>
    reply.headers({ 'content-security-policy': policy }).type('text/html; charset=utf-8').send(page)

  for (const [name, page] of Object.entries(signInPages(deps.social)))
    app.get(`/auth/${name}`, hidden, async (_request, reply) => send(reply, page))
  app.get('/account', hidden, async (_request, reply) => send(reply, accountPage))
  // Where AIRI's desktop client has its answers sent.
  if (deps.hasApps) app.get(RELAY_PATH, hidden, async (_request, reply) => send(reply, relayPage, RELAY_POLICY))
  // Where AIRI's clients are sent after a purchase.
  app.get('/settings/flux', hidden, async (request, reply) => {
    const success = /[?&]success=(true|false)(?:&|$)/.exec(request.url)?.[1]
    return reply.redirect(`/account${success === undefined ? '' : `?success=${success}`}`, 302)
  })

  for (const file of ['pages.css', 'page-tools.js', 'forms.js', 'account.js', 'relay.js']) {
    const content = readFileSync(new URL(`./${file}`, import.meta.url))
    app.get(`/auth/${file}`, hidden, async (_request, reply) =>
      reply
        .headers({ 'cache-control': 'public, max-age=300' })
        .type(file.endsWith('.css') ? ASSETS.css : ASSETS.js)
        .send(content),
    )
  }
}
