import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  CERTIFICATE_BYTES_MAX,
  CERTIFICATE_VERSION,
  type Certificate,
  encodeCertificate,
  GROUPS_NAMED_MAX,
  IDS_LISTED_MAX,
  parseCertificate,
} from './certificate.ts'
import { checkCertificate } from './check-certificate.ts'
import { encodeLogEntry, LOG_ENTRY_VERSION, type LogEntry, parseLogEntry } from './log-entry.ts'
import { leafHash, merkleRoot } from './merkle.ts'
import { compareEntries, summarizeEntries } from './summarize-entries.ts'

const label = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
const few = fc.constantFrom('gpt-4o-mini', 'claude-x', '__proto__', 'résumé', 'a"b\\c')
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

const entryArbitrary: fc.Arbitrary<LogEntry> = fc
  .record({
    log_id: fc.uuid(),
    occurred: fc.date({ min: new Date('2020-01-01'), max: new Date('2030-01-01'), noInvalidDate: true }),
    provider: few,
    model: few,
    alias_name: optional(few),
    origin: optional(label),
    input_tokens: fc.nat(),
    output_tokens: fc.nat(),
    cost_nanousd: optional(fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }).map(String)),
    conversation_id: optional(fc.uuid()),
  })
  .map(({ occurred, alias_name, origin, cost_nanousd, conversation_id, ...rest }) => ({
    v: LOG_ENTRY_VERSION,
    source: 'reported' as const,
    account: 'acc_a',
    project_key: 'prj_a',
    key_id: 'key_a',
    occurred_at: occurred.toISOString().replace('Z', '123Z'),
    received_at: '2030-01-01T00:00:00.000000Z',
    profile: 'default',
    ...rest,
    model_used: rest.model,
    cached_input_tokens: 0,
    usage: rest.input_tokens > 0 ? { input: rest.input_tokens } : {},
    cost_status: cost_nanousd === undefined ? 'unpriced' : 'priced',
    ...(alias_name !== undefined && { alias_name }),
    ...(origin !== undefined && { origin }),
    ...(cost_nanousd !== undefined && { cost_nanousd }),
    ...(conversation_id !== undefined && { conversation_id }),
  }))

function certify(entries: LogEntry[]): Certificate {
  const leaves = [...entries].sort(compareEntries)
  return {
    v: CERTIFICATE_VERSION,
    document_id: `crt_${'0'.repeat(32)}`,
    log: 'fluxgate.test/1',
    source: 'reported',
    account: 'acc_a',
    project_key: 'prj_a',
    key_id: 'key_a',
    issued_at: '2030-01-01T00:00:00.000Z',
    selection: { mode: 'log_ids' },
    ...summarizeEntries(leaves),
    entries: {
      n: leaves.length,
      root: merkleRoot(leaves.map((entry) => leafHash(encodeLogEntry(entry)))).toString('base64'),
      ...(leaves.length <= IDS_LISTED_MAX && { log_ids: leaves.map((entry) => entry.log_id) }),
    },
  }
}

test('whatever is certified, the figures are the sums over the entries', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(entryArbitrary, { minLength: 1, maxLength: 80, selector: (e) => e.log_id }),
      (entries) => {
        const certificate = certify(entries)
        assert.deepEqual(checkCertificate(parseCertificate(certificate)), {
          ok: true,
          detail: checkCertificate(certificate).detail,
        })
        const { totals } = certificate
        assert.equal(totals.calls, entries.length)
        assert.equal(
          totals.input_tokens,
          entries.reduce((sum, entry) => sum + entry.input_tokens, 0),
        )
        assert.equal(
          BigInt(totals.cost_nanousd),
          entries.reduce((sum, entry) => sum + BigInt(entry.cost_nanousd ?? 0), 0n),
        )
        assert.equal(totals.unpriced, entries.filter((entry) => entry.cost_nanousd === undefined).length)
        for (const alias of new Set(entries.map((entry) => entry.alias_name))) {
          const group = certificate.by_alias.groups.find((candidate) => candidate.alias_name === alias)
          assert.equal(group?.calls, entries.filter((entry) => entry.alias_name === alias).length)
        }
        for (const entry of entries) assert.deepEqual(parseLogEntry(JSON.parse(encodeLogEntry(entry))), entry)
      },
    ),
    { numRuns: 60 },
  )
})

test('a certificate of many groups and conversations names some, sums the rest, and stays within its size', () => {
  const long = (index: number) => String(index).padStart(5, '0') + '\u0001'.repeat(250)
  const entries = Array.from({ length: IDS_LISTED_MAX + 1 }, (_, index): LogEntry => {
    const id = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
    return {
      v: LOG_ENTRY_VERSION,
      source: 'reported',
      log_id: id,
      account: 'acc_a',
      project_key: 'prj_a',
      key_id: 'key_a',
      occurred_at: '2026-01-01T00:00:00.000000Z',
      received_at: '2026-01-01T00:00:00.000000Z',
      provider: long(index),
      model: long(index),
      model_used: long(index),
      alias_name: long(index),
      profile: long(1),
      input_tokens: Number.MAX_SAFE_INTEGER % 1_000_000,
      output_tokens: 1,
      cached_input_tokens: 0,
      usage: {},
      cost_status: 'priced',
      cost_nanousd: '9223372036854775807',
      conversation_id: id,
    }
  })
  const certificate = {
    ...certify(entries),
    description: '\u0001'.repeat(2_000),
    tags: Array.from({ length: 32 }, () => '\u0001'.repeat(100)),
  }
  assert.equal(certificate.by_model.groups.length, GROUPS_NAMED_MAX)
  assert.equal(certificate.by_model.rest?.groups, IDS_LISTED_MAX + 1 - GROUPS_NAMED_MAX)
  assert.equal(certificate.conversations, IDS_LISTED_MAX + 1)
  assert.equal(certificate.conversation_ids, undefined)
  assert(checkCertificate(certificate).ok)
  assert(Buffer.byteLength(encodeCertificate(certificate)) < CERTIFICATE_BYTES_MAX)
  const listed = { ...certify(entries.slice(1)), description: certificate.description, tags: certificate.tags }
  assert.equal(listed.conversation_ids?.length, IDS_LISTED_MAX)
  assert(Buffer.byteLength(encodeCertificate(listed)) < CERTIFICATE_BYTES_MAX)
})

const entry = fc.sample(entryArbitrary, { numRuns: 1, seed: 7 })[0] as LogEntry
const good = certify([{ ...entry, alias_name: 'fast', conversation_id: '00000000-0000-4000-8000-000000000001' }])

const broken: [string, (certificate: Certificate) => unknown][] = [
  ['no object', () => 'a certificate'],
  ['another version', (c) => ({ ...c, v: 'fluxgate-certificate/2' })],
  ['a field that is not known', (c) => ({ ...c, note: 'x' })],
  ['a field is missing', ({ totals: _, ...c }) => c],
  ['null', (c) => ({ ...c, description: null })],
  ['an empty description', (c) => ({ ...c, description: '' })],
  ['no tag', (c) => ({ ...c, tags: [] })],
  ['money as a number', (c) => ({ ...c, totals: { ...c.totals, cost_nanousd: 1 } })],
  ['a fraction', (c) => ({ ...c, totals: { ...c.totals, calls: 1.5 } })],
  ['another way to choose', (c) => ({ ...c, selection: { mode: 'all' } })],
  ['a way to choose with a member of another', (c) => ({ ...c, selection: { mode: 'log_ids', more: true } })],
  ['a way to choose from the prototype', (c) => ({ ...c, selection: { mode: 'constructor' } })],
  ['a root that is too short', (c) => ({ ...c, entries: { ...c.entries, root: 'AAAA' } })],
  ['no entries', (c) => ({ ...c, entries: { ...c.entries, n: 0 } })],
]

for (const [what, alter] of broken) {
  test(`no certificate: ${what}`, () => {
    assert.throws(() => parseCertificate(alter(good)))
  })
}

const contradictions: [string, (certificate: Certificate) => Certificate][] = [
  ['calls and entries', (c) => ({ ...c, entries: { ...c.entries, n: 2 } })],
  ['single and several', (c) => ({ ...c, receipt_type: 'batch' })],
  [
    'cost and groups',
    (c) => ({ ...c, totals: { ...c.totals, cost_nanousd: `${BigInt(c.totals.cost_nanousd) + 1n}` } }),
  ],
  ['tokens and groups', (c) => ({ ...c, totals: { ...c.totals, output_tokens: c.totals.output_tokens + 1 } })],
  ['end before start', (c) => ({ ...c, end: '1999-01-01T00:00:00.000000Z' })],
  ['parts and cost', (c) => ({ ...c, totals: { ...c.totals, input_cost_nanousd: '1', output_cost_nanousd: '99' } })],
  ['ids and entries', (c) => ({ ...c, entries: { ...c.entries, log_ids: [] } })],
  ['conversations and their ids', (c) => ({ ...c, conversations: 0 })],
  [
    'entries and range',
    (c) => ({
      ...c,
      selection: {
        mode: 'range',
        start: '1999-01-01T00:00:00.000Z',
        end: '1999-01-02T00:00:00.000Z',
        certified_before: false,
      },
    }),
  ],
]

for (const [what, alter] of contradictions) {
  test(`a certificate contradicts itself: ${what}`, () => {
    assert(checkCertificate(good).ok)
    assert.equal(checkCertificate(parseCertificate(alter(good))).ok, false)
  })
}
