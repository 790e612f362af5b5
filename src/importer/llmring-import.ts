import type { Db } from '#db/pool.ts'
import { type ImportRun, openRun, recordPhase, withImportLock } from './import-run.ts'
import { type LlmringShape, recogniseLlmring } from './llmring-shape.ts'
import { createReport, type Phase, type PhaseReport, type Report } from './report.ts'
import { readCatalog, requireTimeZone, type SourceDatabase, withSource } from './source-database.ts'

export interface LlmringSettings {
  name: string
  /** Undefined: the source is the target's own database. */
  sourceUrl: string | undefined
  schema: string
  timeZone: string
  sourceMoved: boolean
}

/** What a phase works on. */
export interface LlmringContext {
  target: Db
  source: SourceDatabase
  shape: LlmringShape
  run: ImportRun
  report: Report
}

/**
 * Runs one phase, alone on this database, and keeps its report. Throws ImportRefused when the source is none of llmring-server,
 * another one than before, or a phase that this one needs is missing.
 */
export async function runLlmringPhase(
  target: Db,
  settings: LlmringSettings,
  phase: Phase,
  work: (context: LlmringContext) => Promise<void>,
): Promise<PhaseReport> {
  return withImportLock(target, () =>
    withSource(target, { url: settings.sourceUrl, schema: settings.schema }, async (source) => {
      const shape = recogniseLlmring(await readCatalog(source.db, settings.schema))
      await requireTimeZone(source.db, settings.timeZone)
      const run = await openRun(target, {
        name: settings.name,
        system: 'llmring',
        source: source.identity,
        timeZone: settings.timeZone,
        moved: settings.sourceMoved,
      })
      const report = createReport(run.name, phase)
      report.figure('state of the source', shape.state)
      report.figure('place', source.isTarget ? 'in this database' : 'in another database')
      await work({ target, source, shape, run, report })
      await recordPhase(target, report.report)
      return report.report
    }),
  )
}
