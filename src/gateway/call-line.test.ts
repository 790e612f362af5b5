import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Level, type Logger, pino } from 'pino'
import { type CallLine, logCall } from './call-line.ts'

function open(options: { level: Level; child?: boolean }): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const timestamp = () => ',"time":"2026-11-22T01:41:15.123Z"'
  const log = pino({ level: options.level, base: null, timestamp }, { write: (line: string) => void lines.push(line) })
  return { log: options.child === true ? log.child({ instance: 'a"b' }) : log, lines }
}

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"', '\\', '\n', '\u2028', '\ud800', ''),
)
const count = fc.nat()
const anyLine: fc.Arbitrary<CallLine> = fc.record({
  request: text,
  receipt: text,
  project: text,
  key: text,
  alias: fc.option(text, { nil: undefined }),
  clientRetry: fc.option(count, { nil: undefined }),
  model: text,
  stream: fc.boolean(),
  attempts: count,
  faults: fc.array(text),
  outcome: text,
  reason: fc.option(text, { nil: undefined }),
  settlement: text,
  usage: fc.dictionary(fc.constantFrom('input', 'output'), count),
  usageSource: text,
  heldNanousd: text,
  chargedNanousd: text,
  absorbedNanousd: text,
  firstByteMs: fc.option(count, { nil: undefined }),
  totalMs: count,
  upstreamMs: count,
})

test('the line of a call is the line that pino writes, byte for byte', () => {
  for (const child of [false, true]) {
    const [ours, theirs] = [open({ level: 'info', child }), open({ level: 'info', child })]
    fc.assert(
      fc.property(anyLine, (line) => {
        logCall(ours.log, line)
        theirs.log.info(line, 'call')
        assert.equal(ours.lines.at(-1), theirs.lines.at(-1))
      }),
      { seed: 30 },
    )
    assert.equal(ours.lines.length, theirs.lines.length)
  }
})

test('a logger that hears warnings only hears of no call', () => {
  const { log, lines } = open({ level: 'warn' })
  logCall(log, fc.sample(anyLine, { seed: 1, numRuns: 1 })[0] as CallLine)
  assert.deepEqual(lines, [])
})
