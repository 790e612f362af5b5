import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import { endsCall, movesOn, opensWhat } from './fault-effect.ts'

const rule = (httpCodes: number[], onTimeout = false) => ({ httpCodes: new Set(httpCodes), onTimeout })
const status = (value: number, kind: UpstreamFault['class'] = 'provider'): UpstreamFault => ({
  class: kind,
  code: `status_${value}`,
  status: value,
})

// The rows of the table in docs/routing.md.
for (const { fault, opens, ends = false } of [
  { fault: status(400, 'caller'), opens: 'nothing' },
  { fault: status(422, 'caller'), opens: 'nothing' },
  { fault: { class: 'caller', code: 'client_abort' }, opens: 'nothing', ends: true },
  { fault: status(401, 'credential'), opens: 'credential' },
  { fault: status(402, 'credential'), opens: 'credential' },
  { fault: status(403, 'credential'), opens: 'credential' },
  { fault: { class: 'credential', code: 'decrypt_failed' }, opens: 'credential' },
  { fault: status(404, 'target'), opens: 'target' },
  { fault: status(408, 'target'), opens: 'target' },
  { fault: status(429, 'target'), opens: 'pair' },
  { fault: status(500), opens: 'target' },
  { fault: status(503), opens: 'target' },
  { fault: status(529), opens: 'target' },
  { fault: { class: 'provider', code: 'connect' }, opens: 'target' },
  { fault: { class: 'provider', code: 'reset' }, opens: 'target' },
  { fault: { class: 'provider', code: 'cut' }, opens: 'target' },
  { fault: { class: 'provider', code: 'timeout_first_byte', timedOut: true }, opens: 'target' },
  { fault: { class: 'provider', code: 'timeout_idle', timedOut: true }, opens: 'target' },
  { fault: { class: 'provider', code: 'timeout_total', timedOut: true }, opens: 'nothing', ends: true },
  { fault: { class: 'provider', code: 'timeout_chain', timedOut: true }, opens: 'nothing', ends: true },
  { fault: { class: 'provider', code: 'malformed' }, opens: 'target' },
  { fault: { class: 'provider', code: 'error_in_200' }, opens: 'target' },
  { fault: { class: 'provider', code: 'empty_stream' }, opens: 'target' },
  { fault: { class: 'provider', code: 'answer_too_large' }, opens: 'nothing' },
  { fault: { class: 'provider', code: 'frame_too_long' }, opens: 'nothing' },
  { fault: { class: 'provider', code: 'shutting_down' }, opens: 'nothing', ends: true },
] as { fault: UpstreamFault; opens: string; ends?: boolean }[]) {
  test(`${fault.class} ${fault.code} opens ${opens}`, () => {
    assert.equal(opensWhat(fault, false), opens)
    assert.equal(endsCall(fault), ends)
  })
}

test('the end of the whole time opens a target that had it to itself', () => {
  for (const code of ['timeout_total', 'timeout_chain'])
    assert.equal(opensWhat({ class: 'provider', code, timedOut: true }, true), 'target')
  assert.equal(opensWhat({ class: 'provider', code: 'shutting_down' }, true), 'nothing')
})

for (const { name, given, fault, want } of [
  { name: 'no rule, provider', given: undefined, fault: status(500), want: true },
  { name: 'no rule, a status that nobody lists', given: undefined, fault: status(418, 'target'), want: true },
  { name: 'no rule, caller', given: undefined, fault: status(400, 'caller'), want: false },
  { name: 'a status that is listed', given: rule([429]), fault: status(429, 'target'), want: true },
  { name: 'a status that is not listed', given: rule([429]), fault: status(500), want: false },
  { name: "a caller's fault that is listed", given: rule([400]), fault: status(400, 'caller'), want: true },
  {
    name: "a caller's fault without a status",
    given: rule([400, 502], true),
    fault: { class: 'caller', code: 'x' },
    want: false,
  },
  {
    name: 'a timeout, allowed',
    given: rule([], true),
    fault: { class: 'provider', code: 'timeout_first_byte', timedOut: true },
    want: true,
  },
  {
    name: 'a timeout, not allowed',
    given: rule([502, 504]),
    fault: { class: 'provider', code: 'timeout_idle', timedOut: true },
    want: false,
  },
  {
    name: 'no connection counts as a timeout',
    given: rule([], true),
    fault: { class: 'provider', code: 'connect' },
    want: true,
  },
  { name: 'a broken one as well', given: rule([502]), fault: { class: 'provider', code: 'reset' }, want: false },
  { name: 'a timeout that the provider tells by status', given: rule([504]), fault: status(504), want: true },
  { name: 'nonsense counts as 502', given: rule([502]), fault: { class: 'provider', code: 'malformed' }, want: true },
  {
    name: 'nonsense is no timeout',
    given: rule([500], true),
    fault: { class: 'provider', code: 'error_in_200' },
    want: false,
  },
  {
    name: 'a key that does not open counts as 401',
    given: rule([401]),
    fault: { class: 'credential', code: 'decrypt_failed' },
    want: true,
  },
] as { name: string; given: ReturnType<typeof rule> | undefined; fault: UpstreamFault; want: boolean }[]) {
  test(`movesOn: ${name}`, () => {
    assert.equal(movesOn(given, fault), want)
  })
}
