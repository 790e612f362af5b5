import { canonicalJson } from '#lib/canonical-json.ts'
import { countOf, type NumberRanges, subtract, toRanges } from './number-ranges.ts'
import { parseReceipt } from './parse-receipt.ts'
import type { Receipt } from './receipt.ts'

const EXAMPLES_MAX = 10

type SetStepName = 'readable' | 'unique_receipt_id' | 'unique_seq' | 'no_gap'

interface SetStep {
  name: SetStepName
  ok: boolean
  detail: string
}

/** What several bundles say together. `missing` counts the numbers from 1 to the last that no receipt has. */
export interface SetVerification {
  ok: boolean
  steps: readonly SetStep[]
  accounts: readonly { account: string; receipts: number; last: number; missing: number }[]
}

/**
 * Compares the receipts of bundles with each other: a number from 1 to the last that is missing was withheld or belongs
 * to a call that is still open, a number or a receipt id that occurs twice is a call counted twice. What comes after the
 * last cannot be known. Says nothing about signatures; verify each bundle as well. Never throws. `open`: numbers of an account
 * that a statement calls open, which therefore may be missing.
 */
export function verifySet(
  bundles: readonly unknown[],
  open: (account: string) => NumberRanges = () => [],
): SetVerification {
  const receipts: Receipt[] = []
  for (const bundle of bundles) {
    const receipt = readReceipt(bundle)
    if (receipt !== undefined) receipts.push(receipt)
  }
  const unreadable = bundles.length - receipts.length
  const byAccount = Map.groupBy(receipts, (receipt) => receipt.account)
  const accounts = [...byAccount].map(([account, group]) => summarise(account, group, open(account)))
  const gaps = [...byAccount].flatMap(([account, group]) =>
    findGaps(group, open(account)).map((gap) => `${account} ${gap}`),
  )
  const steps: SetStep[] = [
    { name: 'readable', ok: unreadable === 0, detail: `${receipts.length} of ${bundles.length} receipts are readable` },
    uniqueStep('unique_receipt_id', receipts, (receipt) => receipt.receipt_id),
    uniqueStep('unique_seq', receipts, (receipt) => `${receipt.account} ${receipt.seq}`),
    { name: 'no_gap', ok: gaps.length === 0, detail: describeNumbers(accounts, gaps) },
  ]
  return { ok: steps.every((step) => step.ok), steps, accounts }
}

function readReceipt(bundle: unknown): Receipt | undefined {
  try {
    if (typeof bundle !== 'object' || bundle === null) return undefined
    return parseReceipt(canonicalJson(Reflect.get(bundle, 'receipt')))
  } catch {
    // The verification of the bundle itself says what is wrong with it.
    return undefined
  }
}

function uniqueStep(name: SetStepName, receipts: readonly Receipt[], nameOf: (receipt: Receipt) => string): SetStep {
  const repeated: string[] = []
  for (const [value, group] of Map.groupBy(receipts, nameOf)) {
    if (group.length > 1) repeated.push(`${value} ${group.length} times`)
  }
  return { name, ok: repeated.length === 0, detail: `${repeated.length} values are repeated${examples(repeated)}` }
}

function summarise(account: string, receipts: readonly Receipt[], open: NumberRanges) {
  const last = numbersOf(receipts).at(-1)?.[1] ?? 0
  return { account, receipts: receipts.length, last, missing: Number(countOf(missingOf(receipts, open))) }
}

function describeNumbers(accounts: SetVerification['accounts'], gaps: readonly string[]): string {
  if (gaps.length === 0)
    return `none is missing${examples(accounts.map(({ account, last }) => `${account} has numbers 1 to ${last}`))}`
  const missing = accounts.reduce((sum, account) => sum + account.missing, 0)
  return `${missing} numbers are missing${examples(gaps)}`
}

function findGaps(receipts: readonly Receipt[], open: NumberRanges): string[] {
  return missingOf(receipts, open).map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`))
}

/** Numbers up to the highest that have no receipt and are not known to be open. */
function missingOf(receipts: readonly Receipt[], open: NumberRanges): NumberRanges {
  const numbers = numbersOf(receipts)
  const last = numbers.at(-1)?.[1]
  return last === undefined ? [] : subtract(subtract([[1, last]], numbers), open)
}

function numbersOf(receipts: readonly Receipt[]): NumberRanges {
  return toRanges([...new Set(receipts.map((receipt) => receipt.seq))].sort((left, right) => left - right))
}

function examples(list: readonly string[]): string {
  if (list.length === 0) return ''
  return `: ${list.slice(0, EXAMPLES_MAX).join(', ')}${list.length > EXAMPLES_MAX ? ', …' : ''}`
}
