import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { hasFault, NO_SWITCHES, parseSwitches, switchTable, withoutFaults } from './switches.ts'

for (const { name, sim, want } of [
  { name: 'an unknown switch is named', sim: { bogus: 1 }, want: ["Unknown switch 'sim.bogus'", 'sim.bogus'] },
  { name: 'a name of Object is unknown', sim: { constructor: 1 }, want: ['Unknown switch', 'sim.constructor'] },
  { name: 'a list is not an object', sim: [], want: ["'sim' must be an object", 'sim'] },
  { name: 'a text is not a number', sim: { tokens: '5' }, want: ['a whole number from 0 to 200000', 'sim.tokens'] },
  { name: 'a number has a maximum', sim: { tokens: 200_001 }, want: ['whole number', 'sim.tokens'] },
  { name: 'a number is whole', sim: { chunk_ms: 0.5 }, want: ['whole number', 'sim.chunk_ms'] },
  { name: 'a status is an error', sim: { status: 200 }, want: ['from 400 to 599', 'sim.status'] },
  { name: 'a flag is true or false', sim: { reset: 1 }, want: ['must be true or false', 'sim.reset'] },
  { name: 'a word is one of a few', sim: { usage: 'odd' }, want: ['one of none, zero', 'sim.usage'] },
  { name: 'a header cannot be split', sim: { retry_after: '1\r\nx: y' }, want: ['visible ASCII', 'sim.retry_after'] },
  { name: 'an error is an object', sim: { error: 'bad' }, want: ['must be an object', 'sim.error'] },
  { name: 'counting needs a key', sim: { fail_first: 1 }, want: ["'sim.key', which is missing", 'sim.key'] },
]) {
  test(`parseSwitches: ${name}`, () => {
    const parsed = parseSwitches(sim)
    assert.ok('problem' in parsed)
    assert.ok(parsed.problem.includes(want[0] ?? ''), parsed.problem)
    assert.equal(parsed.param, want[1])
  })
}

test('without switches nothing is allocated', () => {
  const parsed = parseSwitches(undefined)
  assert.ok('switches' in parsed && parsed.switches === NO_SWITCHES)
})

test('faults can be told from the rest', () => {
  assert.equal(hasFault({ tokens: 3, usage: 'none' }), false)
  assert.equal(hasFault({ cut_after: 0 }), true)
  assert.equal(hasFault({ reset: false }), false)
  assert.deepEqual(withoutFaults({ tokens: 3, status: 500, key: 'k' }), { tokens: 3, key: 'k' })
})

test('docs/simulator.md has one row for each switch, and no others', () => {
  const page = readFileSync(new URL('../../docs/simulator.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \|[^|]+\|[^|]+\|$/gm)].map((row) => row[1])
  assert.deepEqual(rows.toSorted(), Object.keys(switchTable).toSorted())
})
