import { decodeBase64 } from '#lib/base64.ts'
import { account, logOrigin, object, ordinal, projectKey, time } from './document-fields.ts'
import { amount, count, type Fields, field, optional, pattern } from './fields.ts'
import { HASH_BYTES } from './merkle-path.ts'
import { areDisjoint, countOf, isNumberRanges, NUMBER_RANGES_MAX, type NumberRanges } from './number-ranges.ts'

export const STATEMENT_VERSION = 'fluxgate-statement/1'

const PROJECT_KEYS_MAX = 1_000

/**
 * What the operator states about one wallet and one UTC day, by the clock of the database. Amounts are nano-dollars. A day
 * on which nothing was settled and no money moved has none; the next statement goes on where the last one ended.
 * docs/receipts.md says how it is compared with receipts.
 */
export interface Statement {
  v: typeof STATEMENT_VERSION
  log: string
  /** `stm_` and 32 hex digits. */
  document_id: string
  issued_at: string
  account: string
  /** The projects that charge this wallet, in ascending order. */
  project_keys: readonly string[]
  /** `2026-12-01`. */
  day: string
  opening_nanousd: string
  granted_nanousd: string
  charged_nanousd: string
  refunded_nanousd: string
  expired_nanousd: string
  /** Whatever else moved the balance; below zero where it lowered it. */
  adjusted_nanousd: string
  closing_nanousd: string
  /** The calls that were settled on this day. */
  receipts: SettledReceipts
  /** Receipts of the account up to the end of the day. */
  receipts_total: number
  /** The highest call number that is accounted for: 1 to this one are receipts so far or open. */
  highest: number
  /** Numbers up to `highest` that had no receipt when the day ended. `numbers` is left out where they are too many ranges. */
  open: { count: number; numbers?: NumberRanges }
}

/** Without receipts there is only the count. */
interface SettledReceipts {
  count: number
  /** The lowest and the highest of their numbers. */
  first?: number
  last?: number
  /** Base64 of the root of the tree of RFC 9162 over their leaf hashes, in the order of their numbers. */
  root?: string
  /** Left out where they are too many ranges. */
  numbers?: NumberRanges
}

const ranges = field(`1 to ${NUMBER_RANGES_MAX} ascending ranges of numbers`, isNumberRanges)
const signed = pattern(
  'a decimal string of nano-dollars between -2^63 and 2^63',
  /^(?:0|-?[1-9][0-9]{0,18})$/,
  (text) => {
    const value = BigInt(text)
    return value > -(1n << 63n) && value < 1n << 63n
  },
)
const root = pattern(`the Base64 of ${HASH_BYTES} bytes`, /./, (text) => decodeBase64(text)?.byteLength === HASH_BYTES)

const receiptsFields: Fields<SettledReceipts> = {
  count,
  first: optional(ordinal),
  last: optional(ordinal),
  root: optional(root),
  numbers: optional(ranges),
}

const openFields: Fields<Statement['open']> = { count, numbers: optional(ranges) }

export const statementFields: Fields<Statement> = {
  v: field(STATEMENT_VERSION, (value) => value === STATEMENT_VERSION),
  log: logOrigin,
  document_id: pattern('stm_ and 32 hex digits', /^stm_[0-9a-f]{32}$/),
  issued_at: time,
  account,
  project_keys: field(`at most ${PROJECT_KEYS_MAX} project keys in ascending order`, isProjectKeys),
  day: pattern('a day as YYYY-MM-DD', /^\d{4}-\d{2}-\d{2}$/, isDay),
  opening_nanousd: amount,
  granted_nanousd: amount,
  charged_nanousd: amount,
  refunded_nanousd: amount,
  expired_nanousd: amount,
  adjusted_nanousd: signed,
  closing_nanousd: amount,
  receipts: object('a count, and where it is not 0 first, last and root', receiptsFields),
  receipts_total: count,
  highest: count,
  open: object('a count and its numbers', openFields),
}

/** The first instant after the day, in milliseconds: after the last day of 9999 it has no text that compares with others. */
function endOfDay(day: string): number {
  return Date.parse(`${day}T00:00:00.000Z`) + 86_400_000
}

/** Whether a statement agrees with itself. `detail` names the first rule that it breaks. */
export function checkStatement(statement: Statement): { ok: boolean; detail: string } {
  const problem = moneyProblem(statement) ?? receiptsProblem(statement) ?? numbersProblem(statement)
  if (problem !== undefined) return { ok: false, detail: problem }
  const { day, opening_nanousd, closing_nanousd, receipts, highest, open } = statement
  return {
    ok: true,
    detail: `${day}: ${opening_nanousd} to ${closing_nanousd} nano-dollars, ${receipts.count} receipts, numbers 1 to ${highest} of which ${open.count} open`,
  }
}

function moneyProblem(statement: Statement): string | undefined {
  const { opening_nanousd, granted_nanousd, charged_nanousd, refunded_nanousd, expired_nanousd, adjusted_nanousd } =
    statement
  const closing =
    BigInt(opening_nanousd) +
    BigInt(granted_nanousd) -
    BigInt(charged_nanousd) +
    BigInt(refunded_nanousd) -
    BigInt(expired_nanousd) +
    BigInt(adjusted_nanousd)
  if (closing !== BigInt(statement.closing_nanousd))
    return `what moved on the day leads to ${closing} nano-dollars, it closes with ${statement.closing_nanousd}`
  if (Date.parse(statement.issued_at) < endOfDay(statement.day)) return 'it was issued before its day was over'
  return undefined
}

function receiptsProblem({ receipts, charged_nanousd, highest }: Statement): string | undefined {
  const { count: settled, first, last, root: tree, numbers } = receipts
  if (settled === 0) {
    if (first !== undefined || last !== undefined || tree !== undefined || numbers !== undefined)
      return 'there are no receipts, and yet something is said of them'
    return charged_nanousd === '0' ? undefined : 'something was charged without a receipt'
  }
  if (first === undefined || last === undefined || tree === undefined)
    return 'first, last or root of the receipts is missing'
  if (last < first || last - first + 1 < settled)
    return 'so many receipts do not fit between the first and the last number'
  if (last > highest) return 'a receipt has a number above the highest'
  if (numbers === undefined) return undefined
  if (numbers.at(0)?.[0] !== first || numbers.at(-1)?.[1] !== last || countOf(numbers) !== BigInt(settled))
    return 'the numbers of the receipts are not those that first, last and count say'
  return undefined
}

function numbersProblem({ receipts, receipts_total, highest, open }: Statement): string | undefined {
  if (receipts_total < receipts.count) return 'the day has more receipts than the account'
  if (BigInt(receipts_total) + BigInt(open.count) !== BigInt(highest))
    return `${receipts_total} receipts and ${open.count} open numbers are not the numbers 1 to ${highest}`
  if (open.numbers === undefined) return undefined
  if (countOf(open.numbers) !== BigInt(open.count)) return 'the open numbers are not as many as their count says'
  if ((open.numbers.at(-1)?.[1] ?? 0) > highest) return 'an open number is above the highest'
  if (receipts.numbers !== undefined && !areDisjoint(open.numbers, receipts.numbers))
    return 'a number is both open and a receipt'
  return undefined
}

function isProjectKeys(value: unknown): boolean {
  if (!Array.isArray(value) || value.length > PROJECT_KEYS_MAX) return false
  return value.every((key, index) => projectKey.accepts(key) && (index === 0 || String(value[index - 1]) < String(key)))
}

function isDay(text: string): boolean {
  const millis = Date.parse(`${text}T00:00:00.000Z`)
  return millis >= 0 && new Date(millis).toISOString().startsWith(text)
}
