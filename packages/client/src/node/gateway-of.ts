import type { Environment } from '../resolve.ts'

/**
 * Where the gateway is and the key for it: as given, else `FLUXGATE_URL` and `FLUXGATE_API_KEY`, else `LLMRING_SERVER_URL` and
 * `LLMRING_API_KEY`. Throws TypeError when one is missing.
 */
export function gatewayOf(
  given: { baseUrl?: string | undefined; apiKey?: string | undefined },
  env: Environment,
): { baseUrl: string; apiKey: string } {
  const baseUrl = given.baseUrl || env.FLUXGATE_URL || env.LLMRING_SERVER_URL
  const apiKey = given.apiKey || env.FLUXGATE_API_KEY || env.LLMRING_API_KEY
  if (!baseUrl) throw new TypeError('baseUrl is missing: pass it or set FLUXGATE_URL')
  if (!apiKey) throw new TypeError('apiKey is missing: pass it or set FLUXGATE_API_KEY')
  return { baseUrl, apiKey }
}
