import type { Json } from '#test/support/gateway.ts'

const DEPTH_MAX = 10

/** Reads what Stripe's library sends: `a[b][0][c]=d`, `a[]=b`. Values stay text. Throws on names that are not of that kind. */
export function parseForm(text: string): Json {
  const root: Json = Object.create(null)
  for (const [name, value] of new URLSearchParams(text)) {
    const path = pathOf(name)
    let place = root
    for (const [index, part] of path.entries()) {
      const isList = Array.isArray(place)
      const at = isList && part === '' ? String(place.length) : part
      const next = path[index + 1]
      // Lists have no gaps and no names, and nothing is both a value and a place.
      const fits = isList ? /^\d+$/.test(at) && Number(at) <= place.length : part !== ''
      const isTaken = place[at] !== undefined && (typeof place[at] === 'string') !== (next === undefined)
      if (!fits || isTaken) throw new Error(`Invalid parameter: ${name}`)
      if (next === undefined) place[at] = value
      else place = place[at] ??= next === '' || /^\d+$/.test(next) ? [] : Object.create(null)
    }
  }
  return root
}

function pathOf(name: string): string[] {
  const match = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(name)
  if (match === null) throw new Error(`Invalid parameter: ${name}`)
  const path = [match[1] ?? '', ...[...(match[2] ?? '').matchAll(/\[([^[\]]*)\]/g)].map(([, part]) => part ?? '')]
  if (path.length > DEPTH_MAX) throw new Error(`Invalid parameter: ${name}`)
  return path
}
