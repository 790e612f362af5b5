import type { IncomingHttpHeaders } from 'node:http'
import { isFields } from './json-fields.ts'
import { badRequest, type Refusal } from './refusal.ts'

/** Takes a body in as it arrives. `end` gives what it means, or why it means nothing. */
export interface BodyReader {
  push(chunk: Buffer): void
  end(): { body: unknown } | Refusal
}

/** Reads a JSON body. The switches may stand in the header `x-sim` instead. */
export function createJsonReader(headers: IncomingHttpHeaders): BodyReader {
  const chunks: Buffer[] = []
  return {
    push: (chunk) => void chunks.push(chunk),

    end() {
      const [first] = chunks
      const whole = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks)
      let body: unknown
      try {
        body = JSON.parse(whole.toString())
      } catch {
        return badRequest('We could not parse the JSON body of your request.', null)
      }
      return headers['x-sim'] === undefined ? { body } : withHeader(body, headers)
    },
  }
}

/** A body with the switches of the header `x-sim`, where it has none of its own. */
export function withHeader(body: unknown, headers: IncomingHttpHeaders): { body: unknown } | Refusal {
  const text = headers['x-sim']
  if (typeof text !== 'string' || !isFields(body) || body.sim !== undefined) return { body }
  const switches = parseSwitchText(text, "The header 'x-sim'")
  return 'status' in switches ? switches : { body: { ...body, sim: switches.sim } }
}

/** Switches that were written down as JSON text; `place` says where, for whoever wrote them. */
export function parseSwitchText(text: string, place: string): { sim: unknown } | Refusal {
  try {
    return { sim: JSON.parse(text) }
  } catch {
    return badRequest(`${place} must hold a JSON object of switches.`, 'sim')
  }
}
