import type { RouterSnapshot } from '#domain/router/snapshot.ts'

/** Names come from clients, so only as many are kept as there could honestly be. */
const ROUTES_MAX = 10_000

/** Compiled routes by name, for as long as one router config serves. */
export function createRouteCache<R>(current: () => RouterSnapshot) {
  let routes = new Map<string, R>()
  let compiledFor: RouterSnapshot | undefined

  return (name: string, compile: (snapshot: RouterSnapshot) => R): R => {
    const snapshot = current()
    if (snapshot !== compiledFor) {
      routes = new Map()
      compiledFor = snapshot
    }
    const known = routes.get(name)
    if (known !== undefined) return known
    const route = compile(snapshot)
    if (routes.size < ROUTES_MAX) routes.set(name, route)
    return route
  }
}
