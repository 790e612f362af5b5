import { createServer } from 'node:http'
import { type AddressInfo, isIPv6 } from 'node:net'
import { encodeVerifierKey, parseVerifierKey } from '#billing/tlog/verifier-key.ts'
import { createWitness } from '#domain/log/witness.ts'
import { openWitnessState } from '#domain/log/witness-state.ts'
import { type CliDeps, logToolsOf, need, readArgs, UsageError } from './command.ts'
import { interrupted } from './interrupted.ts'
import { printJson } from './print.ts'
import { serveWitness } from './serve-witness.ts'

const LOGS_MAX = 1_000

export const summary = 'Run a witness: it cosigns receipt logs, as long as each only grows.'
export const usage = `usage: fluxgate witness --name NAME --vkey VKEY... --state FILE --key FILE [--listen HOST:PORT] [--json]

--name    what the witness signs as, such as witness.example/w1
--vkey    the key of a log to watch; again for each log
--state   what it cosigned last; without that memory a witness is worth nothing, so keep the file
--key     its private key, made at the first start
--listen  127.0.0.1:8787 unless said otherwise; port 0 takes a free one

Speaks https://c2sp.org/tlog-witness over plain http: POST /add-checkpoint, GET /HASH/checkpoint. Prints its own vkey and its address,
and runs until it is interrupted.`

export async function run(
  deps: Pick<CliDeps, 'out' | 'err' | 'logTools'> & { signal?: AbortSignal },
  args: string[],
): Promise<number> {
  const { values } = readArgs(args, {
    name: { type: 'string' },
    vkey: { type: 'string', multiple: true },
    state: { type: 'string' },
    key: { type: 'string' },
    listen: { type: 'string', default: '127.0.0.1:8787' },
  })
  const name = need(values.name, '--name')
  const statePath = need(values.state, '--state')
  const keyPath = need(values.key, '--key')
  const vkeys = need(values.vkey?.length ? values.vkey : undefined, '--vkey')
  if (vkeys.length > LOGS_MAX) throw new UsageError(`--vkey may be given ${LOGS_MAX} times at most`)
  const logs = await Promise.all(vkeys.map(readLog))
  const place = readPlace(values.listen)

  const tools = logToolsOf(deps)
  const lock = await tools.lockFile(statePath)
  try {
    const signer = await tools.openKeyFile(keyPath)
    const witness = await createWitness({ name, signer, logs, state: await openWitnessState(statePath) }).catch(
      (error: Error) => {
        throw error.name === 'TlogFormatError' ? new UsageError(`--name: ${error.message}`) : error
      },
    )
    const server = createServer(
      { requestTimeout: 20_000, headersTimeout: 10_000, maxHeaderSize: 8_192 },
      serveWitness(witness, (error) => deps.err.write(`fluxgate witness: ${String(error)}\n`)),
    )
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(place.port, place.host, resolve)
    })
    const { address, port } = server.address() as AddressInfo
    const url = `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
    const vkey = encodeVerifierKey(witness.key)
    if (values.json) printJson(deps.out, { vkey, url, pid: process.pid })
    else deps.out.write(`${vkey} ${url}\n`)
    await interrupted(deps.signal)
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    return 0
  } finally {
    await lock.release()
  }
}

async function readLog(vkey: string) {
  const key = await parseVerifierKey(vkey).catch((error: Error) => {
    throw new UsageError(`--vkey: ${error.message}`)
  })
  if (key.type !== 'note') throw new UsageError('--vkey is not of a log: its algorithm has to be 0x01')
  return key
}

function readPlace(text: string): { host: string; port: number } {
  const [, host = '', digits = ''] = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(text)?.filter(Boolean) ?? []
  if (host === '' || !(Number(digits) <= 65_535)) throw new UsageError('--listen must be HOST:PORT')
  return { host, port: Number(digits) }
}
