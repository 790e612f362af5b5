import type { Db } from '#db/pool.ts'
import { type ImportRun, openRun, recordPhase, withImportLock } from './import-run.ts'
import { createReport, type Phase, type PhaseReport, type Report } from './report.ts'
import { type Catalog, readCatalog, requireTimeZone, type SourceDatabase, withSource } from './source-database.ts'

export interface ImportSettings {
  system: 'llmring' | 'airi'
  name: string
  /** Undefined: the source is the target's own database. */
  sourceUrl: string | undefined
  schema: string
  timeZone: string
  sourceMoved: boolean
}

/** What a phase works on. `Shape` says where everything is in the source. */
export interface ImportContext<Shape> {
  target: Db
  source: SourceDatabase
  shape: Shape
  run: ImportRun
  report: Report
}

/**
 * Runs one phase, alone on this database, and keeps its report. Throws ImportRefused when the source is not of this system, another
 * one than before, or a phase that this one needs is missing.
 */
export async function runPhase<Shape extends { state: string }>(
  target: Db,
  settings: ImportSettings & { phase: Phase; recognise: (catalog: Catalog) => Shape },
  work: (context: ImportContext<Shape>) => Promise<void>,
): Promise<PhaseReport> {
  const { name, system, timeZone } = settings
  return withImportLock(target, () =>
    withSource(target, { url: settings.sourceUrl, schema: settings.schema }, async (source) => {
      const shape = settings.recognise(await readCatalog(source.db, settings.schema))
      await requireTimeZone(source.db, timeZone)
      const moved = settings.sourceMoved
      const run = await openRun(target, { name, system, source: source.identity, timeZone, moved })
      const report = createReport(run.name, settings.phase)
      report.figure('state of the source', shape.state)
      report.figure('place', source.isTarget ? 'in this database' : 'in another database')
      report.figure('times without a zone are read as', timeZone)
      await work({ target, source, shape, run, report })
      await recordPhase(target, report.report)
      return report.report
    }),
  )
}
