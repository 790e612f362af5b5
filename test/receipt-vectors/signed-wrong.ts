import type { VerifyStepName } from '#billing/verify-receipt.ts'
import { flat as flatReceipt, full, inFlux as minimumReceipt } from './good.ts'

const [attempt] = full.attempt_list ?? []
const { attempts } = full
const inFlux = { ...minimumReceipt, attempts }
const flat = { ...flatReceipt, attempts }

/** Receipts that are signed as they stand, and are wrong all the same. */
export const signedWrong: readonly {
  name: string
  expect: VerifyStepName
  why: string
  change: Record<string, unknown>
}[] = [
  {
    name: 'charge-one-more',
    expect: 'charge',
    why: 'one nano-dollar too much',
    change: { charged_nanousd: '6213601' },
  },
  {
    name: 'charge-one-less',
    expect: 'charge',
    why: 'one nano-dollar is nowhere',
    change: { charged_nanousd: '6213599' },
  },
  {
    name: 'charge-twice',
    expect: 'charge',
    why: 'charged in full and absorbed in full',
    change: { absorbed_nanousd: '6213600' },
  },
  { name: 'charge-void', expect: 'charge', why: 'a void call is charged', change: { outcome: 'void' } },
  {
    name: 'charge-void-absorbed',
    expect: 'charge',
    why: 'a void call absorbs more than its price',
    change: { outcome: 'void', charged_nanousd: '0', absorbed_nanousd: '6213601' },
  },
  {
    name: 'charge-usage-raised',
    expect: 'charge',
    why: 'more output than the charge covers',
    change: { usage: { ...full.usage, output: 305 } },
  },
  {
    name: 'charge-price-lowered',
    expect: 'charge',
    why: 'a price line that does not give the charge',
    change: { price: { ...full.price, lines: { ...full.price.lines, output: '14999000' } } },
  },
  {
    name: 'charge-price-absent',
    expect: 'charge',
    why: 'usage without a price line',
    change: { usage: { ...full.usage, audio_output: 1 } },
  },
  {
    name: 'charge-rounded-down',
    expect: 'charge',
    why: 'a fraction of a nano-dollar was dropped',
    change: { usage: { input: 1 }, price: { book: full.price.book, lines: { input: '1500' } }, charged_nanousd: '1' },
  },
  {
    name: 'charge-rounded-twice',
    expect: 'charge',
    why: 'each kind was rounded up by itself',
    change: {
      usage: { input: 1, output: 1 },
      price: { book: full.price.book, lines: { input: '1500', output: '1500' } },
      charged_nanousd: '4',
    },
  },
  {
    name: 'charge-minimum-ignored',
    expect: 'charge',
    why: 'less than the minimum is charged',
    change: { ...inFlux, charged_nanousd: '8000' },
  },
  {
    name: 'charge-minimum-added',
    expect: 'charge',
    why: 'the minimum is charged on top of the usage',
    change: { ...inFlux, charged_nanousd: '1008000' },
  },
  {
    name: 'charge-minimum-unused',
    expect: 'charge',
    why: 'the minimum is charged though nothing was used',
    change: { ...inFlux, usage: {} },
  },
  {
    name: 'charge-minimum-absent',
    expect: 'charge',
    why: 'a minimum is charged that the price does not state',
    change: { ...inFlux, price: { ...inFlux.price, minimum_nanousd: undefined } },
  },
  {
    name: 'charge-flat-known',
    expect: 'charge',
    why: 'the flat price is charged though the provider told the usage',
    change: { ...inFlux, charged_nanousd: '5000000' },
  },
  {
    name: 'charge-flat-counted',
    expect: 'charge',
    why: 'the flat price is charged though the usage was counted',
    change: { ...flat, usage_source: 'counted' },
  },
  {
    name: 'charge-flat-ignored',
    expect: 'charge',
    why: 'a bound is charged though the price of unknown usage is stated',
    change: { ...flat, charged_nanousd: '250030000' },
  },
  {
    name: 'charge-flat-cut-off',
    expect: 'charge',
    why: 'the flat price is charged for a call that is not complete',
    change: { ...flat, outcome: 'cut_off' },
  },
  {
    name: 'charge-flat-void',
    expect: 'charge',
    why: 'the flat price of a void call is absorbed',
    change: {
      ...flat,
      usage: {},
      usage_source: 'none',
      outcome: 'void',
      charged_nanousd: '0',
      absorbed_nanousd: '5000000',
    },
  },
  {
    name: 'charge-attempt-cost',
    expect: 'charge',
    why: 'the customer is charged what a failed attempt cost',
    change: { charged_nanousd: '6214800' },
  },
  {
    name: 'format-attempts-more',
    expect: 'format',
    why: 'more attempts are counted than are listed',
    change: { attempts: 3 },
  },
  {
    name: 'format-attempts-65',
    expect: 'format',
    why: 'a list of 65 attempts',
    change: { attempts: 65, attempt_list: Array(65).fill(attempt) },
  },
  {
    name: 'format-attempts-object',
    expect: 'format',
    why: 'the attempts are not a list',
    change: { attempt_list: { 0: attempt, 1: attempt, length: 2 } },
  },
  ...Object.entries({
    'extra-member': [{ secret: 'sk-1' }, 'a member that this version lacks'],
    'key-long': [{ key: '9f86d081'.repeat(8) }, 'the whole digest of a key'],
    'key-upper-case': [{ key: '9F86D081' }, 'upper-case hex'],
    'result-text': [{ result: 'Too Many Requests' }, 'a result that is no code'],
    'result-missing': [{ result: undefined }, 'no result'],
    'ms-text': [{ ms: '87' }, 'milliseconds as a string'],
    'ms-negative': [{ ms: -1 }, 'milliseconds below zero'],
    'cost-number': [{ cost_nanousd: 1200 }, 'money is a JSON number'],
    'upstream-empty': [{ upstream: '' }, 'an upstream without characters'],
  } satisfies Record<string, [object, string]>).map(([name, [change, why]]) => ({
    name: `format-attempt-${name}`,
    expect: 'format' as const,
    why: `in an attempt: ${why}`,
    change: { attempts: 1, attempt_list: [{ ...attempt, ...change }] },
  })),
  {
    name: 'format-price-extra',
    expect: 'format',
    why: 'the price has a member that this version lacks',
    change: { price: { ...full.price, maximum_nanousd: '1' } },
  },
  {
    name: 'format-minimum-number',
    expect: 'format',
    why: 'the minimum is a JSON number',
    change: { price: { ...full.price, minimum_nanousd: 1_000_000 } },
  },
  {
    name: 'format-flat-negative',
    expect: 'format',
    why: 'the flat price is negative',
    change: { price: { ...full.price, flat_nanousd: '-1' } },
  },
  { name: 'format-version', expect: 'format', why: 'a version from the future', change: { v: 'fluxgate-receipt/3' } },
  {
    name: 'format-extra-field',
    expect: 'format',
    why: 'a field that this version lacks',
    change: { surcharge_nanousd: '0' },
  },
  {
    name: 'format-absorbed-missing',
    expect: 'format',
    why: 'absorbed_nanousd is missing',
    change: { absorbed_nanousd: undefined },
  },
  { name: 'format-price-missing', expect: 'format', why: 'price is missing', change: { price: undefined } },
  { name: 'format-seq-text', expect: 'format', why: 'seq is a string', change: { seq: '4714' } },
  { name: 'format-seq-zero', expect: 'format', why: 'numbers begin at 1', change: { seq: 0 } },
  {
    name: 'format-charged-number',
    expect: 'format',
    why: 'money is a JSON number',
    change: { charged_nanousd: 6213600 },
  },
  {
    name: 'format-charged-padded',
    expect: 'format',
    why: 'money has a leading zero',
    change: { charged_nanousd: '06213600' },
  },
  {
    name: 'format-charged-negative',
    expect: 'format',
    why: 'money is negative',
    change: { charged_nanousd: '-1', absorbed_nanousd: '6213601' },
  },
  {
    name: 'format-charged-overflow',
    expect: 'format',
    why: 'money needs more than 63 bits',
    change: { charged_nanousd: '9223372036854775808' },
  },
  {
    name: 'format-usage-zero',
    expect: 'format',
    why: 'a kind with zero units is absent, not zero',
    change: { usage: { ...full.usage, audio_input: 0 } },
  },
  {
    name: 'format-usage-kind',
    expect: 'format',
    why: 'a kind of usage that does not exist',
    change: { usage: { tokens: 1 } },
  },
  {
    name: 'format-usage-unclaimed',
    expect: 'format',
    why: 'usage whose source is none',
    change: { usage_source: 'none' },
  },
  { name: 'format-outcome', expect: 'format', why: 'an outcome that does not exist', change: { outcome: 'ok' } },
  {
    name: 'format-time-seconds',
    expect: 'format',
    why: 'issued_at has no milliseconds',
    change: { issued_at: '2026-11-22T01:41:15Z' },
  },
  {
    name: 'format-time-impossible',
    expect: 'format',
    why: '30 February',
    change: { issued_at: '2026-02-30T01:41:15.000Z' },
  },
  {
    name: 'format-id-upper-case',
    expect: 'format',
    why: 'upper-case hex in receipt_id',
    change: { receipt_id: 'rcp_0193A5F0C1D27E4F8A6B0C9D8E7F6A04' },
  },
  {
    name: 'format-alias-long',
    expect: 'format',
    why: 'a label of 256 characters',
    change: { alias_name: 'é'.repeat(256) },
  },
  { name: 'format-alias-empty', expect: 'format', why: 'a label without characters', change: { alias_name: '' } },
]
