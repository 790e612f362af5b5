import { type Phase, type PhaseReport, phases } from '#importer/report.ts'
import { UsageError } from './command.ts'
import { printJson, printTable } from './print.ts'

const BATCH_ROWS_MAX = 10_000

/** Throws UsageError. */
export function readPhase(word: string | undefined): Phase {
  const phase = phases.find((one) => one === word)
  if (phase === undefined) throw new UsageError(`PHASE must be one of ${phases.join(', ')}`)
  return phase
}

/** Throws UsageError. */
export function readBatchRows(text: string): number {
  const rows = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (rows < 1 || rows > BATCH_ROWS_MAX) throw new UsageError(`--batch-rows must be 1 to ${BATCH_ROWS_MAX}`)
  return rows
}

/** Figures, then checks, then what to do next. */
export function printReport(out: NodeJS.WritableStream, report: PhaseReport, json: boolean): void {
  if (json) {
    printJson(out, report)
    return
  }
  out.write(`${report.import}: ${report.phase}\n\n`)
  printTable(
    out,
    report.figures.map(({ name, value }) => [name, value]),
  )
  if (report.checks.length > 0) {
    out.write('\n')
    printTable(out, [
      ['', 'EXPECTED', 'FOUND', 'CHECK'],
      ...report.checks.map(({ name, expected, found, ok }) => [ok ? 'ok' : 'DIFFERS', expected, found, name]),
    ])
  }
  if (report.notes.length > 0) out.write(`\n${report.notes.map((note) => `${note}\n`).join('')}`)
  out.write(report.ok ? '\nall well\n' : '\nnot all checks hold\n')
}
