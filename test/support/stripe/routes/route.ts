import type { Json } from '#test/support/gateway.ts'
import { invalid } from '../refusal.ts'

interface Call {
  /** What stands for `:id` in the route. */
  id: string
  params: Json
}

export interface Route {
  /** As `GET customers/:id`. */
  name: string
  /** Parameters that the double knows; those with `!` must be there. Others are refused as at Stripe. */
  takes: string
  answer: (call: Call) => Json
}

const LIST = ['limit', 'starting_after', 'ending_before']

/** Refuses what Stripe would refuse before it does anything. */
export function checkParams({ name, takes }: Route, params: Json): void {
  const known = takes.split(' ').filter((word) => word !== '')
  const names = [...known.map((word) => word.replace('!', '')), 'expand', ...(name.startsWith('GET') ? LIST : [])]
  for (const param of Object.keys(params))
    if (!names.includes(param))
      throw invalid(`Received unknown parameter: ${param}`, { code: 'parameter_unknown', param })
  for (const word of known)
    if (word.endsWith('!') && params[word.slice(0, -1)] === undefined) {
      const param = word.slice(0, -1)
      throw invalid(`Missing required param: ${param}.`, { code: 'parameter_missing', param })
    }
  if (params.metadata !== undefined) checkMetadata(params.metadata)
}

function checkMetadata(metadata: Json): void {
  if (metadata === '') return
  const entries = Object.entries(metadata)
  if (entries.length > 50) throw invalid('Metadata can have up to 50 keys.', { param: 'metadata' })
  for (const [key, value] of entries)
    if (key.length > 40 || String(value).length > 500)
      throw invalid('Metadata keys have up to 40 characters and values up to 500.', { param: `metadata[${key}]` })
}

export function integer(params: Json, param: string): number {
  const text = String(params[param])
  if (!/^-?\d{1,12}$/.test(text))
    throw invalid(`Invalid integer: ${text}`, { code: 'parameter_invalid_integer', param })
  return Number(text)
}

export function boolean(params: Json, param: string): boolean | undefined {
  const text = params[param]
  if (text === undefined) return undefined
  if (text !== 'true' && text !== 'false') throw invalid(`Invalid boolean: ${text}`, { param })
  return text === 'true'
}

/** Metadata as it is after a change: a key that is set to nothing goes. */
export function merged(before: Record<string, string>, change: Json): Record<string, string> {
  if (change === undefined) return before
  if (change === '') return {}
  return Object.fromEntries(Object.entries<string>({ ...before, ...change }).filter(([, value]) => value !== ''))
}

/** Rows whose members equal the named parameters, and whose `created` lies in the wanted range; the newest first. */
export function matching(rows: readonly Json[], params: Json, ...members: string[]): Json[] {
  return rows
    .filter((row) => members.every((name) => params[name] === undefined || String(row[name]) === params[name]))
    .filter(({ created }) => isWithin(created, params.created))
    .toReversed()
}

const MIN_CENTS: Record<string, number> = { usd: 50, eur: 50, gbp: 30, jpy: 50, cny: 400 }

function isWithin(created: number, wanted: Json): boolean {
  if (wanted === undefined) return true
  if (typeof wanted === 'string') return created === Number(wanted)
  return (
    created > Number(wanted.gt ?? Number.NEGATIVE_INFINITY) &&
    created >= Number(wanted.gte ?? Number.NEGATIVE_INFINITY) &&
    created < Number(wanted.lt ?? Number.POSITIVE_INFINITY) &&
    created <= Number(wanted.lte ?? Number.POSITIVE_INFINITY)
  )
}

export function checkAmount(amount: number, currency: string): void {
  const least = MIN_CENTS[currency] ?? 1
  if (amount < least)
    throw invalid(`Amount must be at least ${least} ${currency}`, { code: 'amount_too_small', param: 'amount' })
  if (amount > 99_999_999) throw invalid('Amount must be no more than 999,999.99', { code: 'amount_too_large' })
}
