// What the domain needs of whoever takes money: Stripe, in its own words but without what nobody here reads. Amounts are in the
// smallest unit of their currency, currencies are lower-case ISO 4217 codes, times are dates. Everything is as of the moment of asking.

/** What can be bought: a package, or with an interval a plan. */
export interface Price {
  id: string
  productId: string
  active: boolean
  /** Undefined where the metadata names no whole number of Flux above zero. */
  flux: bigint | undefined
  /** How much of what is left a renewal of the plan carries over. */
  rolloverFlux: bigint
  recommended: boolean
  currency: string
  /** By currency, the own one too; null is a price that has no fixed amount. */
  amounts: Readonly<Record<string, bigint | null>>
  interval: string | null
  intervalCount: number
}

export interface CheckoutInput {
  /** The same key gives the same session. */
  key: string
  customerId: string
  mode: 'payment' | 'subscription'
  priceId: string
  currency: string | undefined
  successUrl: string
  cancelUrl: string
  metadata: Readonly<Record<string, string>>
  /** Keeps the payment method for payments without the person. */
  saveMethod: boolean
  methods: readonly string[] | undefined
  methodOptions: object | undefined
}

export interface CheckoutSession {
  id: string
  url: string | null
  customerId: string | null
  mode: string
  /** open, complete, expired */
  status: string
  /** paid, unpaid, no_payment_required */
  paymentStatus: string
  amountTotal: bigint
  currency: string
  intentId: string | null
  subscriptionId: string | null
  metadata: Readonly<Record<string, string>>
  createdAt: Date
}

/** A movement of the balance at the provider. */
export interface CashMovement {
  transactionId: string
  kind: 'charge' | 'refund' | 'dispute'
  /** Below zero where money left. */
  amount: bigint
  currency: string
  at: Date
}

export interface PaymentIntent {
  id: string
  customerId: string | null
  status: string
  amountReceived: bigint
  currency: string
  metadata: Readonly<Record<string, string>>
  failure: string | null
  /** What refunds and disputes have taken back so far, at most what was received. */
  reversed: bigint
  cash: readonly CashMovement[]
  disputes: readonly Dispute[]
}

interface Dispute {
  id: string
  amount: bigint
  currency: string
  reason: string
  status: string
  /** Whether the money is with the bank. An inquiry moves none; one that was won gave it back. */
  takesMoney: boolean
  isClosed: boolean
}

export interface InvoiceLine {
  priceId: string | null
  /** Below zero where a part of a period is given back. */
  amount: bigint
  quantity: bigint
  proration: boolean
  periodEnd: Date
}

export interface Invoice {
  id: string
  customerId: string | null
  subscriptionId: string | null
  status: string
  amountDue: bigint
  amountPaid: bigint
  currency: string
  hostedUrl: string | null
  pdfUrl: string | null
  periodStart: Date
  periodEnd: Date
  createdAt: Date
  intentId: string | null
  lines: readonly InvoiceLine[]
}

export interface Subscription {
  id: string
  customerId: string
  status: string
  priceId: string | null
  periodStart: Date | null
  periodEnd: Date | null
  cancelAtPeriodEnd: boolean
  canceledAt: Date | null
  endedAt: Date | null
  createdAt: Date
}

/** A line of the provider's balance. */
export interface BalanceTransaction {
  id: string
  type: string
  /** Gross; `fee` is what the provider keeps of it. */
  amount: bigint
  fee: bigint
  currency: string
  at: Date
}

/** What a payment without the person came to. */
export type OffSessionResult = { ok: true; intentId: string } | { ok: false; intentId: string | null; failure: string }

/** An event as it was sent: only what it is about, since the object itself is asked for anew. */
export interface ProviderEvent {
  id: string
  type: string
  objectId: string
  objectType: string
  customerId: string | null
}

/**
 * Methods reject with AppError payment_provider_unavailable, or payment_provider_refused where the same request would be refused
 * again; what the provider does not know is undefined.
 */
export interface PaymentProvider {
  /** Throws Error for what the provider did not sign. */
  readEvent(rawBody: Buffer, signature: string): ProviderEvent
  listPrices(productId: string): Promise<Price[]>
  findPrice(id: string): Promise<Price | undefined>
  createCustomer(input: { key: string; email: string; metadata: Readonly<Record<string, string>> }): Promise<string>
  /** Erases a customer, and ends the subscriptions. */
  deleteCustomer(id: string): Promise<void>
  createCheckout(input: CheckoutInput): Promise<CheckoutSession>
  findCheckout(id: string): Promise<CheckoutSession | undefined>
  findCheckoutOfIntent(intentId: string): Promise<CheckoutSession | undefined>
  createPortal(input: { customerId: string; returnUrl: string }): Promise<string>
  findIntent(id: string): Promise<PaymentIntent | undefined>
  /** The intent that a charge, refund or dispute belongs to. */
  intentOf(object: {
    type: 'charge' | 'refund' | 'dispute'
    id: string
  }): Promise<{ intentId: string; customerId: string | null } | undefined>
  findInvoice(id: string): Promise<Invoice | undefined>
  findInvoiceOfIntent(intentId: string): Promise<string | undefined>
  findSubscription(id: string): Promise<Subscription | undefined>
  cancelSubscription(id: string): Promise<void>
  /** The payment method that a customer has chosen, or else the newest card. */
  findMethod(customerId: string): Promise<string | undefined>
  /** Takes money without the person. Sent again under its key it is done once. */
  payOffSession(input: {
    key: string
    customerId: string
    methodId: string
    amount: bigint
    currency: string
    metadata: Readonly<Record<string, string>>
  }): Promise<OffSessionResult>
  /** What moved the balance from `from` to before `to`, oldest last. */
  listBalance(from: Date, to: Date): AsyncIterable<BalanceTransaction>
}
