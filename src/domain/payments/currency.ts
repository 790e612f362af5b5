/** An amount in the smallest unit of its currency as people read it: `$3.00`, `CN¥21.00`, `¥500`. Some currencies have no cents. */
export function formatPrice(minor: bigint | null, currency: string): string {
  const code = currency.toUpperCase()
  if (minor === null || !isCurrency(code)) return code
  const format = new Intl.NumberFormat('en-US', { style: 'currency', currency: code })
  return format.format(decimalOf(minor, digitsOf(code)))
}

/** The same for records: `USD 5.00`, `JPY 500`. */
export function formatAmount(minor: bigint, currency: string): string {
  const code = currency.toUpperCase()
  return `${code} ${decimalOf(minor, digitsOf(code))}`
}

// Where Stripe's smallest unit is not that of ISO 4217: docs.stripe.com/currencies.
const stripeDigits: Readonly<Record<string, number>> = { ISK: 2, UGX: 2, MGA: 0, HUF: 2, TWD: 2 }

/** How many decimal places Stripe's smallest unit of a currency stands for. */
function digitsOf(code: string): number {
  if (!isCurrency(code)) return 2
  const format = new Intl.NumberFormat('en-US', { style: 'currency', currency: code })
  return stripeDigits[code] ?? format.resolvedOptions().maximumFractionDigits ?? 2
}

function isCurrency(code: string): boolean {
  return /^[A-Z]{3}$/.test(code)
}

/** Exact, as text: Intl formats a decimal string without rounding it through a number. */
function decimalOf(minor: bigint, digits: number): `${number}` {
  const sign = minor < 0n ? '-' : ''
  const text = (minor < 0n ? -minor : minor).toString().padStart(digits + 1, '0')
  const whole = text.slice(0, text.length - digits)
  return `${sign}${whole}${digits === 0 ? '' : `.${text.slice(-digits)}`}` as `${number}`
}
