import assert from 'node:assert/strict'

/** Polls a condition that nothing announces. */
export async function until(what: string, passes: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const lateAt = performance.now() + withinMs
  while (!(await passes())) {
    assert(performance.now() < lateAt, `not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
