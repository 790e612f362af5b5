import { Writable } from 'node:stream'
import { pino } from 'pino'

/** A logger whose lines stay in memory, for tests that look at what was logged and what was not. */
export function createLogSink() {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  return {
    log: pino({ level: 'trace' }, stream),
    text: (): string => text,
    lines: (): Record<string, unknown>[] =>
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
  }
}
