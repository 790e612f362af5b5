import type Stripe from 'stripe'
import type { Books } from '../books.ts'

const DAY = 86_400

export function addSession(
  books: Books,
  members: Pick<Stripe.Checkout.Session, 'mode' | 'currency' | 'amount_subtotal' | 'amount_total'> &
    Partial<Stripe.Checkout.Session>,
): Stripe.Checkout.Session {
  const born = books.born('checkout')
  return books.add('checkout', {
    ...{ ...born, object: 'checkout.session', adaptive_pricing: { enabled: false }, after_expiration: null },
    ...{ allow_promotion_codes: null, allowed_payment_method_types: null },
    automatic_tax: { enabled: false, liability: null, provider: null, status: null },
    ...{ billing_address_collection: null, cancel_url: null, client_reference_id: null, client_secret: null },
    ...{ collected_information: null, consent: null, consent_collection: null, currency_conversion: null },
    ...{ custom_fields: [], customer: null, customer_account: null, customer_creation: null, customer_details: null },
    custom_text: { after_submit: null, shipping_address: null, submit: null, terms_of_service_acceptance: null },
    ...{ customer_email: null, discounts: null, expires_at: born.created + DAY, integration_identifier: null },
    ...{ invoice: null, invoice_creation: null, livemode: false, locale: null, managed_payments: null, metadata: {} },
    ...{ origin_context: null, payment_intent: null, payment_link: null, payment_method_collection: null },
    ...{ payment_method_configuration_details: null, payment_method_options: {}, payment_method_types: ['card'] },
    ...{ payment_status: 'unpaid', permissions: null, recovered_from: null, saved_payment_method_options: null },
    ...{ setup_intent: null, shipping_address_collection: null, shipping_cost: null, shipping_options: [] },
    ...{ status: 'open', submit_type: null, subscription: null, success_url: null, ui_mode: 'hosted_page' },
    ...{ url: null, wallet_options: null },
    total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: 0 },
    ...members,
  })
}

export function addPortal(
  books: Books,
  members: { customer: string; return_url: string | null; origin: string },
): Stripe.BillingPortal.Session {
  const born = books.born('portal')
  const { origin, ...rest } = members
  return books.add('portal', {
    ...{ ...born, object: 'billing_portal.session', configuration: 'bpc_double', customer_account: null, flow: null },
    ...{ livemode: false, locale: null, on_behalf_of: null, url: `${origin}/portal/${born.id}`, ...rest },
  })
}

export function lineItem(
  books: Books,
  price: Stripe.Price,
  members: { quantity: number; amount: number; currency: string; description: string },
): Stripe.LineItem {
  const { quantity, amount, currency, description } = members
  return {
    ...{ id: books.born('line').id.replace('il_', 'li_'), object: 'item', adjustable_quantity: null },
    ...{ amount_discount: 0, amount_subtotal: amount, amount_tax: 0, amount_total: amount, currency, description },
    ...{ metadata: {}, price, quantity },
  }
}
