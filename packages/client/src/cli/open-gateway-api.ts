import { createGatewayApi, type GatewayApi } from '../http/gateway-api.ts'
import type { Arguments, Deps } from './run-cli.ts'
import { WrongUse } from './wrong-use.ts'

/** Where the gateway is: --url, else FLUXGATE_URL, else LLMRING_SERVER_URL. */
export function gatewayUrl({ values }: Arguments, { env }: Deps): string | undefined {
  return values.url || env.FLUXGATE_URL || env.LLMRING_SERVER_URL
}

/** Never an option: other users of the machine can read the words of a command. */
export function gatewayKey({ env }: Deps): string | undefined {
  return env.FLUXGATE_API_KEY || env.LLMRING_API_KEY
}

/** Throws WrongUse when the URL, or the key where one is needed, is missing or no URL. */
export function openGatewayApi(args: Arguments, deps: Deps, { isPublic = false } = {}): GatewayApi {
  const baseUrl = gatewayUrl(args, deps)
  const apiKey = gatewayKey(deps)
  if (baseUrl === undefined) throw new WrongUse('say where the gateway is: set FLUXGATE_URL, or use --url')
  if (apiKey === undefined && !isPublic) throw new WrongUse('set FLUXGATE_API_KEY to a key of your project')
  try {
    return createGatewayApi({ baseUrl, apiKey })
  } catch (error) {
    throw new WrongUse(
      `the URL of the gateway cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}
