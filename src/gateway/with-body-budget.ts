import type { Gateway } from './gateway.ts'

/** Runs `work` with a meter for the bytes of one body, which count against all open calls until it is over. */
export async function withBodyBudget<T>(
  { openCalls }: Pick<Gateway, 'openCalls'>,
  work: (onBytes: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  let held = 0
  try {
    return await work((bytes) => {
      openCalls.holdBody(bytes)
      held += bytes
    })
  } finally {
    openCalls.releaseBody(held)
  }
}
