import type { Json } from '#test/support/gateway.ts'

/** Reads what Stripe's library sends: `a[b][0][c]=d`. Values stay text. */
export function parseForm(text: string): Json {
  const root: Json = {}
  for (const [name, value] of new URLSearchParams(text)) {
    const path = name.split(/[[\]]+/).filter((part) => part !== '')
    let place = root
    for (const [index, part] of path.entries()) {
      const next = path[index + 1]
      if (next === undefined) place[part] = value
      else place = place[part] ??= /^\d+$/.test(next) ? [] : {}
    }
  }
  return root
}
