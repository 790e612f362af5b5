/** A broken invariant is our bug: it becomes a logged 500 for one request, never a client error. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Fails when a fact that must hold does not. `claim` reads as that fact. */
export function assert(condition: unknown, claim: string): asserts condition {
  if (!condition) throw new InvariantError(claim)
}

/** Closes a switch: adding a variant to the union becomes a compile error here. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`)
}
