import type { VerifyStepName } from '#billing/verify-receipt.ts'
import { full } from './good.ts'

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
    change: { usage: { input: 1 }, price: { ...full.price, lines: { input: '1500' } }, charged_nanousd: '1' },
  },
  {
    name: 'charge-rounded-twice',
    expect: 'charge',
    why: 'each kind was rounded up by itself',
    change: {
      usage: { input: 1, output: 1 },
      price: { ...full.price, lines: { input: '1500', output: '1500' } },
      charged_nanousd: '4',
    },
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
