import type { TestEvent } from 'node:test/reporters'

/** A reporter of node --test that says at the end which tests were skipped and why: what did not run is not proven. */
export default async function* skippedReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const skipped: string[] = []
  for await (const event of source) {
    if (event.type !== 'test:pass' || event.data.skip === undefined) continue
    const reason = typeof event.data.skip === 'string' ? event.data.skip : 'no reason given'
    skipped.push(`  ${event.data.name}: ${reason}`)
  }
  if (skipped.length > 0) yield `\nSkipped ${skipped.length}:\n${skipped.join('\n')}\n`
}
