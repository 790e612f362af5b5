import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Config } from '#src/config.ts'
import type { Installation } from '#src/installation.ts'

/** What every part of the application is opened with. */
export interface Parts {
  config: Config
  installation: Installation
  log: Logger
  registry: Registry
  /** Closed from the last to the first, by the application or when a later part cannot be opened. */
  opened: AsyncDisposableStack
}
