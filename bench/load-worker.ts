// The process that `startLoader` forks: it generates one load for each message it gets, and reports.
import { generateLoad } from './generate-load.ts'
import type { LoadOptions } from './load-options.ts'

process.on('message', async (options: LoadOptions) => {
  process.send?.(await generateLoad(options))
})

// Without a parent nobody reads the report.
process.on('disconnect', () => process.exit())
