import { leafHash, merkleRoot } from '#billing/merkle.ts'
import { toRanges } from '#billing/number-ranges.ts'
import type { Receipt } from '#billing/receipt.ts'
import type { Statement } from '#billing/statement.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { statement as example } from './document-vectors.ts'
import { complete } from './good.ts'
import { currentSigner } from './keys.ts'
import { sealBatch, sealDocuments } from './seal.ts'

// Receipts and statements of one account, as a customer keeps them: each signed as it stands, and a set that is whole or not.

export type SetStep = 'unique_receipt_id' | 'unique_seq' | 'no_gap' | 'one_per_day' | 'chain' | 'numbers' | 'receipts'

export interface SetVector {
  name: string
  expect: SetStep | 'ok'
  why: string
  text: string
}

const CHARGE = 6_213_600n

/** Numbers by the day on which they were settled; 3 and 7 are open at the end of theirs. */
const days = [
  { day: '2026-11-20', settled: [1, 2, 4], highest: 4, granted: 100_000_000n },
  { day: '2026-11-21', settled: [3, 5], highest: 5, granted: 0n },
  // Nothing happened on the 22nd.
  { day: '2026-11-23', settled: [6], highest: 7, granted: 5_000_000n },
]

function receiptOf(seq: number): Receipt {
  return {
    ...complete,
    receipt_id: `rcp_${seq.toString(16).padStart(32, 'e')}`,
    seq,
    issued_at: `2026-11-${seq < 5 ? '20' : '23'}T10:00:${String(seq).padStart(2, '0')}.000Z`,
  }
}

export const setReceipts: readonly Receipt[] = [1, 2, 3, 4, 5, 6].map(receiptOf)

export const setStatements: readonly Statement[] = (() => {
  let balance = 0n
  let total = 0
  let open: number[] = []
  let before = 0
  return days.map(({ day, settled, highest, granted }, index) => {
    const opening = balance
    const charged = CHARGE * BigInt(settled.length)
    balance += granted - charged
    total += settled.length
    const fresh = Array.from({ length: highest - before }, (_, n) => before + 1 + n)
    open = [...open, ...fresh].filter((number) => !settled.includes(number))
    before = highest
    const leaves = settled.map((seq) => leafHash(canonicalJson(receiptOf(seq))))
    return {
      ...example,
      document_id: `stm_${index.toString().padStart(32, 'd')}`,
      issued_at: `${day.slice(0, 8)}${Number(day.slice(8)) + 1}T00:11:00.000Z`,
      day,
      opening_nanousd: opening.toString(),
      granted_nanousd: granted.toString(),
      charged_nanousd: charged.toString(),
      refunded_nanousd: '0',
      expired_nanousd: '0',
      adjusted_nanousd: '0',
      closing_nanousd: balance.toString(),
      receipts: {
        count: settled.length,
        first: settled[0] ?? 0,
        last: settled.at(-1) ?? 0,
        root: merkleRoot(leaves).toString('base64'),
        numbers: toRanges(settled),
      },
      receipts_total: total,
      highest,
      open: { count: open.length, ...(open.length > 0 && { numbers: toRanges(open) }) },
    }
  })
})()

function change(index: number, changes: Partial<Statement>): Statement[] {
  return setStatements.map((statement, n) => (n === index ? { ...statement, ...changes } : statement))
}

function receiptsWith(seq: number, changes: Partial<Receipt>): Receipt[] {
  return setReceipts.map((receipt) => (receipt.seq === seq ? { ...receipt, ...changes } : receipt))
}

const [first, second, third] = setStatements as [Statement, Statement, Statement]
const fourth = { ...receiptOf(8), seq: 8 }

const sets: readonly [
  name: string,
  expect: SetStep | 'ok',
  why: string,
  receipts: readonly object[],
  statements: readonly object[],
][] = [
  ['whole', 'ok', 'three days, and a day without anything', setReceipts, setStatements],
  ['shuffled', 'ok', 'the same in another order', setReceipts.toReversed(), setStatements.toReversed()],
  [
    'unlisted',
    'ok',
    'numbers that are not listed follow from the day before and the open ones',
    setReceipts,
    setStatements.map((statement) => {
      const { numbers: _, ...rest } = statement.receipts
      return { ...statement, receipts: rest }
    }),
  ],
  ['receipts-only', 'ok', 'receipts without statements', setReceipts, []],
  ['withheld', 'no_gap', 'a receipt is withheld', setReceipts.filter(({ seq }) => seq !== 2), setStatements],
  ['withheld-last', 'receipts', 'the last receipt is withheld', setReceipts.slice(0, -1), setStatements],
  [
    'withheld-alone',
    'no_gap',
    'a receipt is withheld, and there is no statement',
    setReceipts.filter(({ seq }) => seq !== 2),
    [],
  ],
  ['twice', 'unique_receipt_id', 'a receipt twice', [...setReceipts, receiptOf(3)], setStatements],
  [
    'number-twice',
    'unique_seq',
    'two receipts with one number',
    [...setReceipts, { ...receiptOf(3), receipt_id: `rcp_${'f'.repeat(32)}` }],
    setStatements,
  ],
  [
    'replaced',
    'receipts',
    'another receipt under the number, signed as well',
    receiptsWith(2, { model: 'openai/gpt-z' }),
    setStatements,
  ],
  [
    'charged-more',
    'receipts',
    'a receipt that charges more than the statement of its day',
    receiptsWith(4, { charged_nanousd: '6213601' }),
    setStatements,
  ],
  ['statement-missing', 'chain', 'the statement of an active day is withheld', setReceipts, [first, third]],
  [
    'statement-twice',
    'one_per_day',
    'two statements of one day',
    setReceipts,
    [first, second, { ...second, document_id: `stm_${'c'.repeat(32)}` }, third],
  ],
  [
    'opening',
    'chain',
    'a day opens with less than the one before closed with',
    setReceipts,
    change(1, {
      opening_nanousd: `${BigInt(second.opening_nanousd) - 1n}`,
      closing_nanousd: `${BigInt(second.closing_nanousd) - 1n}`,
    }),
  ],
  [
    'total',
    'chain',
    'a receipt is counted twice in all',
    setReceipts,
    change(1, { receipts_total: 6, highest: 6, open: { count: 0 } }),
  ],
  [
    'highest-fell',
    'chain',
    'the highest number falls',
    setReceipts,
    [first, { ...second, highest: 3, receipts_total: 3, receipts: { ...second.receipts, count: 0 } }],
  ],
  [
    'open-gone',
    'numbers',
    'an open number vanishes and another one is open',
    setReceipts,
    change(2, { open: { count: 1, numbers: [[5, 5]] } }),
  ],
  [
    'settled-again',
    'numbers',
    'a number is settled on two days',
    setReceipts,
    change(2, {
      receipts: { ...third.receipts, first: 5, last: 5, numbers: [[5, 5]] },
      open: { count: 1, numbers: [[7, 7]] },
    }),
  ],
  [
    'root-of-others',
    'receipts',
    'the root is of other receipts',
    setReceipts,
    change(0, { receipts: { ...first.receipts, root: second.receipts.root ?? '' } }),
  ],
  [
    'charged-less',
    'receipts',
    'a statement that charges less than its receipts',
    setReceipts,
    change(2, { charged_nanousd: '0', closing_nanousd: `${BigInt(third.closing_nanousd) + CHARGE}` }),
  ],
  [
    'other-account',
    'receipts',
    'the statements of one account and the receipts of another',
    setReceipts.map((receipt) => ({ ...receipt, account: 'acc_7qm2vx4kd6jj' })),
    setStatements,
  ],
  [
    'gap-after',
    'no_gap',
    'a number that is neither stated nor open',
    [...setReceipts, fourth, { ...receiptOf(10), seq: 10 }],
    setStatements,
  ],
]

export const setVectors: readonly SetVector[] = sets.map(([name, expect, why, receipts, statements]) => {
  const sealed = {
    receipts: sealBatch('0193a5f0-c1d2-7e4f-8a6b-000000000e01', receipts, currentSigner),
    statements:
      statements.length === 0 ? [] : sealDocuments('0193a5f0-c1d2-7e4f-8a6b-000000000e02', statements, currentSigner),
  }
  return { name, expect, why, text: `${JSON.stringify(sealed, null, 2)}\n` }
})
