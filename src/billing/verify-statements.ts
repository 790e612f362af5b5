import { decodeBase64 } from '#lib/base64.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { hashLeaf, rootOfLeaves } from './merkle-path.ts'
import { countOf, includes, type NumberRanges, subtract, union } from './number-ranges.ts'
import type { Receipt } from './receipt.ts'
import type { Statement } from './statement.ts'

const EXAMPLES_MAX = 10

interface StatementStep {
  name: 'one_per_day' | 'chain' | 'numbers' | 'receipts'
  ok: boolean
  detail: string
}

/** What statements and receipts say together. `last`: 1 to this number are receipts or were open at the end of the last day. */
export interface StatementsVerification {
  ok: boolean
  steps: readonly StatementStep[]
  accounts: readonly {
    account: string
    statements: number
    lastDay: string
    highest: number
    open: number
    /** Which numbers are open, as far as they are listed or follow. */
    openNumbers: NumberRanges
  }[]
}

/**
 * Compares the daily statements of accounts with each other and with their receipts, by the rule that a customer can hold the
 * operator to: each number up to the highest is a receipt or open, each day opens with what the one before closed with, and
 * what a day charged is what its receipts say. Says nothing about signatures; verify each bundle as well. `partial`: an
 * extract, which may begin in the middle; a day that lacks a receipt is not compared.
 */
export async function verifyStatements(
  receipts: readonly Receipt[],
  statements: readonly Statement[],
  { partial = false }: { partial?: boolean } = {},
): Promise<StatementsVerification> {
  const problems: Record<StatementStep['name'], string[]> = {
    one_per_day: [],
    chain: [],
    numbers: [],
    receipts: [],
  }
  const compared = { days: 0, receipts: 0 }
  const accounts: StatementsVerification['accounts'][number][] = []
  for (const [account, group] of Map.groupBy(statements, (statement) => statement.account)) {
    const days = group.toSorted((left, right) => (left.day < right.day ? -1 : left.day > right.day ? 1 : 0))
    const own = receipts.filter((receipt) => receipt.account === account)
    const bySeq = new Map(own.map((receipt) => [receipt.seq, receipt] as const))
    const before: Progress = { known: false, closing: '0', total: 0, highest: 0, open: [] }
    for (const statement of days) {
      const name = `${account} ${statement.day}`
      if (statement.day === before.day) problems.one_per_day.push(name)
      // Only a first statement begins with nothing. An extract begins in the middle and is taken at its word.
      before.known ||= statement.receipts_total === statement.receipts.count && statement.opening_nanousd === '0'
      if (before.known) problems.chain.push(...chainProblems(before, statement).map((problem) => `${name}: ${problem}`))
      else if (!partial) problems.chain.push(`${name}: there are statements before this one`)
      const numbers = readNumbers(before, statement)
      problems.numbers.push(...numbers.problems.map((problem) => `${name}: ${problem}`))
      const day = await compareReceipts(statement, numbers.settled, bySeq)
      if (!(partial && day.missing > 0)) problems.receipts.push(...day.problems.map((problem) => `${name}: ${problem}`))
      if (day.missing === 0) {
        compared.days += 1
        compared.receipts += statement.receipts.count
      }
      Object.assign(before, {
        known: true,
        day: statement.day,
        closing: statement.closing_nanousd,
        total: statement.receipts_total,
        highest: statement.highest,
        open: numbers.open,
      })
    }
    const last = days.at(-1)
    if (last !== undefined)
      accounts.push({
        account,
        statements: days.length,
        lastDay: last.day,
        highest: last.highest,
        open: last.open.count,
        openNumbers: before.open ?? [],
      })
  }
  const said: Record<StatementStep['name'], string> = {
    one_per_day: `${statements.length} statements of ${accounts.length} accounts, one for each day`,
    chain: 'each day opens with what the one before closed with',
    numbers: accounts.map(describeAccount).slice(0, EXAMPLES_MAX).join('; '),
    receipts: `${compared.receipts} receipts are those that ${compared.days} of ${statements.length} statements name, and charge as much`,
  }
  const steps = (Object.keys(problems) as StatementStep['name'][]).map((name) => ({
    name,
    ok: problems[name].length === 0,
    detail: problems[name].length === 0 ? said[name] : examples(problems[name]),
  }))
  return { ok: steps.every((step) => step.ok), steps, accounts }
}

/** What the statements so far came to. */
interface Progress {
  /** Whether anything before is known: a first statement begins with nothing, an extract in the middle. */
  known: boolean
  day?: string
  closing: string
  total: number
  highest: number
  open: NumberRanges | undefined
}

function chainProblems(before: Progress, statement: Statement): string[] {
  const problems: string[] = []
  if (statement.opening_nanousd !== before.closing)
    problems.push(`opens with ${statement.opening_nanousd}, the day before closed with ${before.closing}`)
  if (statement.receipts_total !== before.total + statement.receipts.count)
    problems.push(
      `has ${statement.receipts_total} receipts in all after ${before.total} and ${statement.receipts.count}`,
    )
  if (statement.highest < before.highest) problems.push(`the highest number fell from ${before.highest}`)
  return problems
}

/** Which numbers were settled on the day and which stayed open, from what is listed and from the day before. */
function readNumbers(before: Progress, { receipts, open, highest }: Statement) {
  const problems: string[] = []
  const listedOpen = open.count === 0 ? [] : open.numbers
  const listedSettled = receipts.count === 0 ? [] : receipts.numbers
  if (!before.known || before.open === undefined) {
    if (listedSettled === undefined)
      problems.push('its receipts are not listed, and nothing before tells which they are')
    return { settled: listedSettled ?? [], open: listedOpen, problems }
  }
  const due = highest > before.highest ? union(before.open, [[before.highest + 1, highest]]) : before.open
  const settled = listedSettled ?? (listedOpen === undefined ? [] : subtract(due, listedOpen))
  const left = subtract(due, settled)
  if (subtract(settled, due).length > 0) problems.push('a receipt has a number that was settled before')
  if (listedSettled === undefined && listedOpen === undefined)
    problems.push('neither receipts nor open numbers are listed')
  else if (listedOpen !== undefined && !same(left, listedOpen))
    problems.push('the open numbers are not those that were open before or given out since, less its receipts')
  return { settled, open: left, problems }
}

async function compareReceipts(statement: Statement, settled: NumberRanges, bySeq: ReadonlyMap<number, Receipt>) {
  const { receipts, charged_nanousd } = statement
  const found = [...bySeq.values()].filter(({ seq }) => includes(settled, seq)).sort((a, b) => a.seq - b.seq)
  const missing = receipts.count - found.length
  if (missing !== 0 || countOf(settled) !== BigInt(receipts.count))
    return { missing, problems: [`${found.length} of its ${receipts.count} receipts are here`] }
  if (found.length === 0) return { missing, problems: [] }
  const problems: string[] = []
  const charged = found.reduce((sum, receipt) => sum + BigInt(receipt.charged_nanousd), 0n)
  if (charged !== BigInt(charged_nanousd))
    problems.push(`its receipts charge ${charged} nano-dollars, it says ${charged_nanousd}`)
  const root = await rootOfLeaves(await Promise.all(found.map((receipt) => hashLeaf(canonicalJson(receipt)))))
  if (!same([...root], [...(decodeBase64(receipts.root ?? '') ?? [])])) problems.push('its root is of other receipts')
  return { missing, problems }
}

function describeAccount({ account, statements, lastDay, highest, open }: StatementsVerification['accounts'][number]) {
  return `${account}: ${statements} statements to ${lastDay}, numbers 1 to ${highest} of which ${open} were open then`
}

function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

function examples(list: readonly string[]): string {
  return `${list.slice(0, EXAMPLES_MAX).join(', ')}${list.length > EXAMPLES_MAX ? ', …' : ''}`
}
