// What needs files or the environment. Everything else is in `@fluxgate/client`.
export { type FindOptions, findLockfile } from './find-lockfile.ts'
export { type LoadedLockfiles, loadLockfiles } from './load-lockfiles.ts'
export { loadLockfile, saveLockfile } from './lockfile-file.ts'
export { type OpenOptions, openFluxgate } from './open-fluxgate.ts'
export { type OpenUsageLoggerOptions, openUsageLogger } from './open-usage-logger.ts'
