import { setTimeout as delay } from 'node:timers/promises'
import type { OracleCall } from '#simulator/oracle.ts'
import { createSimulator } from '#simulator/simulator.ts'

/** A simulator on a port of its own, asked without any gateway. */
export async function startSimulatorHere() {
  const simulator = createSimulator({ exposeOracle: true })
  const { url, port } = await simulator.listen()
  return {
    url,
    port,
    oracle: simulator.oracle,
    close: () => simulator.close(),

    /** Sends JSON to an address under `/v1/`. */
    post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
      return fetch(`${url}/v1/${path}`, { method: 'POST', body: JSON.stringify(body), headers })
    },

    /** The oracle's record of the latest call, once it has ended. */
    async ended(): Promise<OracleCall> {
      for (let tries = 0; tries < 400; tries += 1) {
        const call = simulator.oracle.calls().at(-1)
        if (call !== undefined && call.state !== 'open') return call
        await delay(5)
      }
      throw new Error('the call did not end')
    },
  }
}

/** What SDKs do not know by type, they pass on. */
export function withSim<Body extends object>(body: Body, sim: Record<string, unknown>): Body {
  return { ...body, sim } as Body
}

export interface SentEvent {
  event: string | undefined
  data: Record<string, unknown>
}

/** The events of a stream whose data is JSON. */
export function eventsOf(text: string): SentEvent[] {
  return text
    .split('\n\n')
    .filter((frame) => frame.includes('data: ') && !frame.endsWith('[DONE]'))
    .map((frame) => {
      const data = frame.slice(frame.indexOf('data: ') + 'data: '.length)
      return { event: /^event: (.*)$/m.exec(frame)?.[1], data: JSON.parse(data) as Record<string, unknown> }
    })
}
