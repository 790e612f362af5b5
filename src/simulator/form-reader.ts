import type { IncomingHttpHeaders } from 'node:http'
import { type BodyReader, parseSwitchText, withHeader } from './json-reader.ts'
import { createFormReader, findBoundary } from './multipart.ts'
import { badRequest } from './refusal.ts'

/** Reads a multipart form into `{ fields, file, sim }`. The switches are JSON text in the field `sim`, or in `x-sim`. */
export function createFormBodyReader(headers: IncomingHttpHeaders): BodyReader {
  const boundary = findBoundary(headers['content-type'])
  const reader = boundary === undefined ? undefined : createFormReader(boundary)
  return {
    push: (chunk) => reader?.push(chunk),

    end() {
      if (reader === undefined) return badRequest('The body must be multipart/form-data with a boundary.', null)
      const form = reader.end()
      if ('problem' in form) return badRequest(`The form cannot be read: ${form.problem}.`, null)
      const text = form.fields.get('sim')
      if (text === undefined) return withHeader({ ...form }, headers)
      const switches = parseSwitchText(text, "The field 'sim'")
      return 'status' in switches ? switches : { body: { ...form, sim: switches.sim } }
    },
  }
}
