import { createFluxgate, type Fluxgate, type FluxgateOptions } from '../fluxgate.ts'
import type { Environment } from '../resolve.ts'
import { findLockfile } from './find-lockfile.ts'
import { gatewayOf } from './gateway-of.ts'
import { loadLockfiles } from './load-lockfiles.ts'

export interface OpenOptions
  extends Partial<Pick<FluxgateOptions, 'baseUrl' | 'apiKey' | 'profile' | 'origin' | 'gatewayProviders'>> {
  /** Path of the lockfile; without it, `LLMRING_LOCKFILE_PATH` and then `./llmring.lock`. */
  lockfile?: string
  env?: Environment
  cwd?: string
}

/**
 * `createFluxgate` with what Node knows: the lockfile of this folder, and from the environment `FLUXGATE_URL` or `LLMRING_SERVER_URL`,
 * `FLUXGATE_API_KEY` or `LLMRING_API_KEY`, and `LLMRING_PROFILE`. Throws LockfileError, or TypeError when the URL or the key is missing.
 */
export async function openFluxgate(options: OpenOptions = {}): Promise<Fluxgate> {
  const { lockfile, env = process.env, cwd = process.cwd(), ...rest } = options
  const { baseUrl, apiKey } = gatewayOf(rest, env)
  const lockfiles = await loadLockfiles(findLockfile({ path: lockfile, env, cwd }))
  return await createFluxgate({ ...rest, baseUrl, apiKey, env, lockfiles })
}
