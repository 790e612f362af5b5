import type { ServerResponse } from 'node:http'
import type Stripe from 'stripe'
import type { Billing } from './billing.ts'
import { type Books, idOf } from './books.ts'
import type { Checkout } from './checkout.ts'
import { StripeRefusal } from './refusal.ts'

/** Stripe has currencies whose smallest unit is the whole. */
const WHOLE = new Set('bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf'.split(' '))

/** The pages that people are sent to. */
export function createPages(books: Books, checkout: Checkout, billing: Billing) {
  const subscriptionOf = (portal: Stripe.BillingPortal.Session) =>
    books.all('subscription').find((one) => one.customer === portal.customer && one.status !== 'canceled')

  function showCheckout(session: Stripe.Checkout.Session): string {
    const items = session.line_items?.data ?? []
    const isOpen = session.status === 'open'
    const code = session.allow_promotion_codes ? '<label>Promotion code <input name="code"></label> ' : ''
    return [
      `<h1>${money(session.amount_total ?? 0, session.currency ?? '')}</h1>`,
      ...items.map(({ description, quantity }) => `<p>${escaped(description ?? '')} × ${quantity}</p>`),
      isOpen ? `<form method="post">${code}<button>Pay</button></form>` : `<p>This session is ${session.status}.</p>`,
      ...(session.cancel_url ? [`<a href="${escaped(session.cancel_url)}">Cancel</a>`] : []),
    ].join('\n')
  }

  function showPortal(portal: Stripe.BillingPortal.Session): string {
    const subscription = subscriptionOf(portal)
    const invoices = books.all('invoice').filter(({ customer }) => idOf(customer) === portal.customer)
    return [
      '<h1>Your payments</h1>',
      ...invoices.map(({ number, total, currency }) => `<p>${number ?? ''} ${money(total, currency)}</p>`),
      ...(subscription?.cancel_at_period_end
        ? ['<p>Your subscription ends with its period.</p>']
        : subscription
          ? ['<form method="post"><button>Cancel subscription</button></form>']
          : []),
      `<a href="${escaped(portal.return_url ?? '')}">Back</a>`,
    ].join('\n')
  }

  /** A code that is none is told on the page. */
  function pay(session: Stripe.Checkout.Session, body: string, response: ServerResponse): void {
    const promotionCode = new URLSearchParams(body).get('code') || undefined
    try {
      if (session.status === 'open') checkout.pay(session.id, { promotionCode })
      redirect(response, (session.success_url ?? '/').replaceAll('{CHECKOUT_SESSION_ID}', session.id))
    } catch (error) {
      if (!(error instanceof StripeRefusal)) throw error
      html(response, 200, `<p role="alert">${escaped(error.message)}</p>\n${showCheckout(session)}`)
    }
  }

  return function serve(call: { method: string; path: string; body: string }, response: ServerResponse): void {
    const { method, path, body } = call
    const [, kind, id = ''] = path.split('/')
    const session = kind === 'pay' ? books.find('checkout', id) : undefined
    const portal = kind === 'portal' ? books.find('portal', id) : undefined
    if (session && method === 'POST') pay(session, body, response)
    else if (portal && method === 'POST') {
      const subscription = subscriptionOf(portal)
      if (subscription) billing.setCancelAtPeriodEnd(subscription.id, true)
      redirect(response, path)
    } else if (session) html(response, 200, showCheckout(session))
    else if (portal) html(response, 200, showPortal(portal))
    else html(response, 404, '<h1>There is no such page.</h1>')
  }
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(303, { location }).end()
}

function html(response: ServerResponse, status: number, text: string): void {
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Double of Stripe</title><main>\n${text}\n</main></html>`
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(page)
}

function money(amount: number, currency: string): string {
  return `${currency.toUpperCase()} ${WHOLE.has(currency) ? amount : (amount / 100).toFixed(2)}`
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
