/** What a bank says no with. */
export interface Decline {
  code: string
  decline_code?: string
  message: string
}

const generic = { code: 'card_declined', decline_code: 'generic_decline', message: 'Your card was declined.' }
const authentication = {
  ...{ code: 'authentication_required', decline_code: 'authentication_required' },
  message: 'Your card was declined. This transaction requires authentication.',
}
const funds = {
  ...{ code: 'card_declined', decline_code: 'insufficient_funds', message: 'Your card has insufficient funds.' },
}

/** Stripe's cards for tests, by their last four digits: what comes of a charge with one. */
const cards: Record<string, { charge?: Decline; asksPerson?: boolean; attach?: Decline }> = {
  '4242': {},
  '4444': {},
  '0341': { charge: generic },
  '0002': { charge: generic, attach: generic },
  '9995': { charge: funds, attach: funds },
  '3184': { charge: authentication, asksPerson: true },
}

/** Names that Stripe knows in place of a saved card. */
const tokens: Record<string, string> = {
  pm_card_visa: '4242',
  pm_card_mastercard: '4444',
  pm_card_chargeCustomerFail: '0341',
  pm_card_visa_chargeDeclined: '0002',
  pm_card_chargeDeclined: '0002',
  pm_card_chargeDeclinedInsufficientFunds: '9995',
  pm_card_visa_chargeDeclinedInsufficientFunds: '9995',
  pm_card_authenticationRequired: '3184',
}

export const cardOfToken = (token: string): string | undefined => tokens[token]
export const cardOf = (last4: string) => cards[last4] ?? {}

export function declineOf(code: string): Decline {
  if (code === 'authentication_required') return authentication
  if (code === 'insufficient_funds') return funds
  return { ...generic, code }
}
