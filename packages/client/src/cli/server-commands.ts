import { FluxgateError } from '../errors.ts'
import { gatewayKey, gatewayUrl, openGatewayApi } from './open-gateway-api.ts'
import type { Arguments, Deps } from './run-cli.ts'
import { printable } from './table.ts'
import { WrongUse } from './wrong-use.ts'

const DEFAULT_URL = 'http://localhost:3000'

/** Looks whether a gateway is there, and says what to set. Keys are not repeated. */
export async function serverInit(args: Arguments, deps: Deps): Promise<number> {
  const url = gatewayUrl(args, deps) ?? DEFAULT_URL
  const asked = { ...args, values: { ...args.values, url } }
  const { isHealthy, status, name, version } = await openGatewayApi(asked, deps, { isPublic: true }).health()
  await deps.out(`${url}: ${printable([name, version, status].filter((word) => word !== '').join(' '))}\n`)
  if (!isHealthy) return 1
  const isSet = gatewayKey(deps) !== undefined
  await deps.out(
    `\nPut this into the environment of your programs:\n\n  export FLUXGATE_URL=${url}\n` +
      (isSet
        ? '\nA key is set already: fluxgate-client server status tries it.\n'
        : '  export FLUXGATE_API_KEY=...\n\nThe key is one of your project; whoever runs the gateway makes it with: fluxgate key create\n'),
  )
  return 0
}

/** Whether the gateway is well, and whether it takes our key. */
export async function serverStatus(args: Arguments, deps: Deps): Promise<number> {
  const api = openGatewayApi(args, deps, { isPublic: true })
  const health = await api.health()
  const described = printable([health.name, health.version].filter((word) => word !== '').join(' '))
  const lines = [`gateway: ${health.status}${described === '' ? '' : ` (${described})`}`]
  const result: Record<string, unknown> = { gateway: health }
  let isGood = health.isHealthy
  if (gatewayKey(deps) === undefined) {
    isGood = false
    lines.push('key: none, set FLUXGATE_API_KEY')
  } else {
    try {
      const { id, name, project_id, scopes = [], expires_at } = await api.currentKey()
      result.key = { id, name, project_id, scopes, expires_at }
      lines.push(`key: accepted, ${printable(`${id} "${name}" of ${project_id}`)}`)
      if (scopes.length > 0) lines.push(`scopes: ${printable(scopes.join(', '))}`)
      if (expires_at) lines.push(`expires: ${printable(expires_at)}`)
    } catch (error) {
      if (!(error instanceof FluxgateError) || (error.status !== 401 && error.status !== 403)) throw error
      isGood = false
      result.key = { problem: error.code }
      lines.push(`key: rejected (${printable(error.message)})`)
    }
  }
  await deps.out(args.isJson ? `${JSON.stringify(result, null, 2)}\n` : `${lines.join('\n')}\n`)
  return isGood ? 0 : 1
}

/** The new secret is shown this once; nobody can show it again. */
export async function serverKeyRotate(args: Arguments, deps: Deps): Promise<number> {
  const [id] = args.words
  const overlapSeconds = args.values.overlap === undefined ? undefined : readDuration(args.values.overlap)
  const { secret, replaced, ...key } = await openGatewayApi(args, deps).rotateKey({ id, overlapSeconds })
  if (args.isJson) {
    await deps.out(`${JSON.stringify({ ...key, secret, replaced }, null, 2)}\n`)
    return 0
  }
  const end = replaced.expires_at ? `works until ${replaced.expires_at}` : 'is replaced'
  deps.err(
    printable(`${key.id} replaces ${replaced.id}, which ${end}. The secret is shown here and never again:`).concat(
      '\n',
    ),
  )
  await deps.out(`${printable(secret)}\n`)
  return 0
}

const units: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 }

/** `90`, `90s`, `15m`, `24h` or `7d`, in seconds. */
function readDuration(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? []
  if (count === undefined)
    throw new WrongUse(`--overlap takes a duration such as 90s, 15m, 24h or 7d, not ${printable(text)}`)
  return Number(count) * (units[unit ?? ''] ?? 1)
}
