import { clouds } from './clouds.ts'
import { companies } from './companies.ts'
import { ownServers } from './own-servers.ts'
import type { Preset } from './preset.ts'

/** Every provider that the gateway knows by name. docs/providers.md shows it; a test compares. */
export const presetTable: readonly Preset[] = [...companies, ...clouds, ...ownServers]
