// One of the servers that a run compares, in a process of its own: node bench/server.ts simulator|floor|auth|ledger.
// The first line of output is its address; SIGTERM ends it.
import { once } from 'node:events'
import type { Server } from 'node:http'
import { registerHooks } from 'node:module'
import type { AddressInfo } from 'node:net'
import { createSimulator } from '#simulator/simulator.ts'
import { parseConfig } from '#src/config.ts'
import { createFloor } from './floor.ts'

const [role] = process.argv.slice(2)

if (role === 'simulator') {
  // The calls themselves are not asked for, only the totals.
  const simulator = createSimulator({ exposeOracle: true, oracleCalls: 1_000 })
  const { url } = await simulator.listen()
  print({ url })
  await once(process, 'SIGTERM')
  await simulator.close()
} else if (role === 'floor') {
  await serve(createFloor(process.env.FLUXGATE_SIM_URL ?? ''))
} else if (role === 'auth' || role === 'ledger') {
  leaveOutReceipts()
  const { createBareGateway } = await import('./bare-gateway.ts')
  const { server, chargedNanos } = await createBareGateway(role, parseConfig(process.env))
  await serve(server)
  print({ chargedNanos: chargedNanos().toString() })
} else {
  process.stderr.write('usage: node bench/server.ts simulator|floor|auth|ledger\n')
  process.exitCode = 2
}
// What the gateway leaves running is of no interest once the totals are out.
if (role !== undefined) process.stdout.write('', () => process.exit())

async function serve(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  print({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  await once(process, 'SIGTERM')
  server.close()
  server.closeAllConnections()
}

function print(line: Record<string, string>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** Receipts are part of a settlement, so leaving them out means other modules, not another setting. */
function leaveOutReceipts(): void {
  const standIns = new Map([
    ['#billing/receipt.ts', new URL('plain-receipt.ts', import.meta.url).href],
    ['#billing/merkle.ts', new URL('plain-merkle.ts', import.meta.url).href],
  ])
  const own = new Set(standIns.values())
  registerHooks({
    resolve(specifier, context, next) {
      const url = standIns.get(specifier)
      if (url === undefined || own.has(context.parentURL ?? '')) return next(specifier, context)
      return { url, shortCircuit: true }
    },
  })
}
