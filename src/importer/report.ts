import { canonicalJson } from '#lib/canonical-json.ts'

export const phases = ['plan', 'expand', 'backfill', 'verify', 'switch', 'contract'] as const
export type Phase = (typeof phases)[number]

/** What a phase did and found. Every number is a decimal text: sums of money are exact. */
export interface PhaseReport {
  import: string
  phase: Phase
  /** Every check holds. */
  ok: boolean
  figures: { name: string; value: string }[]
  checks: { name: string; expected: string; found: string; ok: boolean }[]
  /** What an operator should know or do next. */
  notes: string[]
}

type Shown = string | number | bigint | boolean

/** Collects the figures of one phase in the order in which they are to be read. */
export function createReport(name: string, phase: Phase) {
  const report: PhaseReport = { import: name, phase, ok: true, figures: [], checks: [], notes: [] }
  return {
    report,
    figure(title: string, value: Shown): void {
      report.figures.push({ name: title, value: String(value) })
    },
    check(title: string, expected: Shown, found: Shown): void {
      const ok = String(expected) === String(found)
      report.checks.push({ name: title, expected: String(expected), found: String(found), ok })
      report.ok &&= ok
    },
    note(text: string): void {
      report.notes.push(text)
    },
  }
}

export type Report = ReturnType<typeof createReport>

/** The import cannot go on as asked: the message says why and what to do. */
export class ImportRefused extends Error {
  override readonly name = 'ImportRefused'
}

/** Adds to counters that are kept as JSON text. */
export function addCounts(text: string, more: Readonly<Record<string, number>>): string {
  const counts = JSON.parse(text) as Record<string, number>
  for (const [name, count] of Object.entries(more)) counts[name] = (counts[name] ?? 0) + count
  return canonicalJson(counts)
}
