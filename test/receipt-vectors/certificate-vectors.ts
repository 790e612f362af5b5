import { CERTIFICATE_VERSION, type Certificate } from '#billing/certificate.ts'
import { encodeLogEntry, LOG_ENTRY_VERSION, type LogEntry } from '#billing/log-entry.ts'
import { inclusionPath, leafHash, merkleRoot } from '#billing/merkle.ts'
import { summarizeEntries } from '#billing/summarize-entries.ts'
import type { DocumentVector } from './document-vectors.ts'
import { currentSigner, revokedSigner } from './keys.ts'
import { type LooseDocumentBundle, sealDocuments } from './seal.ts'

// A certificate about three reported calls, the bundle of one of them, and what forgers make of both.

export interface EntryVector {
  name: string
  expect: DocumentVector['expect'] | 'entry'
  why: string
  text: string
}

const METADATA = '{"job":"nightly","note":"é\\u0001"}'
const METADATA_DIGEST = 'sha256:99f8c47ed9731027581a033d666cb1843e022330b1f6f44ab17df00d2b7e8ab8'

const first: LogEntry = {
  v: LOG_ENTRY_VERSION,
  source: 'reported',
  log_id: '0193a5f0-c1d2-7e4f-8a6b-0c9d8e7f0a01',
  account: 'acc_7qm2vx4kd6jh',
  project_key: 'prj_k3n5p7r2',
  key_id: 'key_a1b2c3d4',
  occurred_at: '2026-11-20T08:00:00.000001Z',
  received_at: '2026-11-20T08:00:01.500000Z',
  provider: 'openai',
  model: 'gpt-4o-mini',
  model_used: 'gpt-4o-mini',
  alias_name: 'résumé',
  profile: 'default',
  input_tokens: 1_000,
  output_tokens: 200,
  cached_input_tokens: 0,
  usage: { input: 1_000, output: 200 },
  latency_ms: 812,
  cost_status: 'priced',
  cost_nanousd: '270000',
  price_book: `sha256:${'5e'.repeat(32)}`,
  reported_cost: '0.00027',
  metadata_digest: METADATA_DIGEST,
  conversation_id: '0193a5f0-c1d2-7e4f-8a6b-0c9d8e7f0c01',
}
const { alias_name: _, metadata_digest: __, conversation_id: ___, ...bare } = first
const second: LogEntry = {
  ...bare,
  log_id: '0193a5f0-c1d2-7e4f-8a6b-0c9d8e7f0a02',
  occurred_at: '2026-11-20T08:00:00.000002Z',
  cost_nanousd: '9223372036854775807',
}
const { cost_nanousd: ____, price_book: _____, ...unpriced } = second
const third: LogEntry = {
  ...unpriced,
  log_id: '0193a5f0-c1d2-7e4f-8a6b-0c9d8e7f0a03',
  occurred_at: '2026-11-20T09:30:00.000000Z',
  provider: 'anthropic',
  model: 'claude-x',
  model_used: 'claude-x',
  cost_status: 'unpriced',
  imported_from: 'llmring',
}

const entries = [first, second, third]
const leaves = entries.map((entry) => leafHash(encodeLogEntry(entry)))
const root = merkleRoot(leaves).toString('base64')

const certificate: Certificate = {
  v: CERTIFICATE_VERSION,
  document_id: 'crt_0193a5f0c1d27e4f8a6b0c9d8e7f6d01',
  log: 'receipts.example.com/1',
  source: 'reported',
  account: first.account,
  project_key: first.project_key,
  key_id: first.key_id,
  issued_at: '2026-11-20T12:00:00.000Z',
  selection: {
    mode: 'range',
    start: '2026-11-20T08:00:00.000Z',
    end: '2026-11-20T09:30:00.001Z',
    certified_before: false,
  },
  description: 'November, first half',
  tags: ['team-a', 'é'],
  ...summarizeEntries(entries),
  entries: { n: entries.length, root, log_ids: entries.map(({ log_id }) => log_id) },
}

const single = (document: object, signer = currentSigner): LooseDocumentBundle => {
  const [bundle] = sealDocuments('0193a5f0-0000-7000-8000-000000000d03', [document], signer)
  if (bundle === undefined) throw new Error('a batch of one has one bundle')
  return bundle
}

const { log_ids: ______, ...unlisted } = certificate.entries
const { conversation_ids: _______, ...manyConversations } = certificate
const { totals, by_model, by_alias } = certificate

const wrong: readonly [name: string, expect: 'format' | 'content', why: string, change: Record<string, unknown>][] = [
  ['calls', 'content', 'more calls than entries', { totals: { ...totals, calls: 4 } }],
  ['cost', 'content', 'a cost that is not the sum of its groups', { totals: { ...totals, cost_nanousd: '270000' } }],
  ['unpriced', 'content', 'a call without a cost that is not counted', { totals: { ...totals, unpriced: 0 } }],
  ['group', 'content', 'a group is missing', { by_model: { groups: by_model.groups.slice(1) } }],
  ['alias', 'content', 'a group twice', { by_alias: { groups: [...by_alias.groups, by_alias.groups[0]] } }],
  ['type', 'content', 'three entries as a single one', { receipt_type: 'single' }],
  ['parts', 'content', 'parts that are not the cost', { totals: { ...totals, input_cost_nanousd: '1' } }],
  ['range', 'content', 'an entry outside of the range', { end: '2026-11-20T09:30:00.001000Z' }],
  ['backwards', 'content', 'an end before the start', { start: '2026-11-20T09:30:00.000001Z' }],
  [
    'ids-twice',
    'content',
    'one entry is listed twice',
    { entries: { ...certificate.entries, log_ids: entries.map(() => first.log_id) } },
  ],
  ['ids-few', 'content', 'an entry is not listed', { entries: { ...certificate.entries, log_ids: [first.log_id] } }],
  ['conversations', 'content', 'more conversations than calls', { conversations: 4 }],
  ['conversation-ids', 'content', 'a conversation that is not listed', { conversation_ids: [] }],
  ['source', 'format', 'a client’s word as that of the gateway', { source: 'gateway' }],
  ['time-middle', 'format', 'text in the middle of a time', { start: '2026-11-20T08:00:00.000 or so .000001Z' }],
  ['time-millis', 'format', 'a time of entries with milliseconds', { end: '2026-11-20T09:30:00.000Z' }],
  ['none', 'format', 'a certificate about nothing', { entries: { ...certificate.entries, n: 0 } }],
  ['many', 'format', '10,001 entries', { entries: { ...unlisted, n: 10_001 } }],
  ['selection', 'format', 'a way to choose that nobody knows', { selection: { mode: 'some' } }],
  ['selection-extra', 'format', 'a member too many in the selection', { selection: { mode: 'log_ids', more: true } }],
  ['tags-none', 'format', 'an empty list of tags', { tags: [] }],
  ['sum-long', 'format', 'a sum of 24 digits', { totals: { ...totals, cost_nanousd: '1'.repeat(24) } }],
  [
    'group-extra',
    'format',
    'a member too many in a group',
    { by_model: { groups: by_model.groups.map((g) => ({ ...g, note: 'x' })) } },
  ],
  ['id', 'format', 'the id of a statement', { document_id: 'stm_0193a5f0c1d27e4f8a6b0c9d8e7f6d01' }],
  ['extra', 'format', 'a field too many', { note: 'x' }],
]

export const certificateVectors: readonly DocumentVector[] = [
  vector('certificate', 'ok', 'three reported calls, one of them without a cost', single(certificate)),
  vector('certificate-unlisted', 'ok', 'too many ids to list', single({ ...manyConversations, entries: unlisted })),
  vector('certificate-revoked-key', 'key', 'signed by a key that was revoked', single(certificate, revokedSigner)),
  vector('certificate-altered', 'path', 'the description was altered after signing', altered()),
  ...wrong.map(([name, expect, why, change]) =>
    vector(`certificate-wrong-${name}`, expect, `${why}, and signed`, single({ ...certificate, ...change })),
  ),
] as readonly DocumentVector[]

const bundle = single(certificate)
const inclusion = (pos: number) => ({ pos, path: inclusionPath(leaves, pos).map((node) => node.toString('base64')) })
const good = { ...bundle, entry: first, inclusion: inclusion(0), metadata: METADATA }
const relisted = single({
  ...certificate,
  entries: { ...certificate.entries, log_ids: [second, first, third].map(({ log_id }) => log_id) },
})
const foreign = single({ ...certificate, project_key: 'prj_m4q6s8t3' })
const later = single({ ...certificate, start: second.occurred_at })

export const entryVectors: readonly EntryVector[] = [
  vector('good', 'ok', 'the first of three entries, with its metadata', good),
  vector('last', 'ok', 'the last of three, without metadata', { ...bundle, entry: third, inclusion: inclusion(2) }),
  vector('empty-metadata', 'ok', 'an entry without metadata', {
    ...good,
    entry: second,
    inclusion: inclusion(1),
    metadata: '{}',
  }),
  vector('altered', 'entry', 'a number was altered', { ...good, entry: { ...first, input_tokens: 1_001 } }),
  vector('other-pos', 'entry', 'the place of another leaf', { ...good, inclusion: { ...inclusion(0), pos: 1 } }),
  vector('other-path', 'entry', 'the path of another leaf', { ...good, inclusion: { ...inclusion(1), pos: 0 } }),
  vector('beyond', 'entry', 'a place that the certificate does not have', {
    ...good,
    inclusion: { ...inclusion(0), pos: 3 },
  }),
  vector('metadata', 'entry', 'other metadata', { ...good, metadata: '{}' }),
  vector('metadata-spelling', 'entry', 'the same metadata in another spelling', {
    ...good,
    metadata: METADATA.replace('{', '{ '),
  }),
  vector('extra', 'entry', 'a member too many in the entry', { ...good, entry: { ...first, note: 'x' } }),
  vector('inclusion-extra', 'entry', 'a member too many beside the path', {
    ...good,
    inclusion: { ...inclusion(0), n: 3 },
  }),
  vector('no-inclusion', 'entry', 'an entry without its path', { ...bundle, entry: first }),
  vector('relisted', 'entry', 'the certificate lists the entries in another order, and was signed', {
    ...good,
    ...relisted,
  }),
  vector('foreign', 'entry', 'the certificate is of another project, and was signed', { ...good, ...foreign }),
  vector('outside', 'entry', 'the entry is before the start of the certificate, which was signed', {
    ...good,
    ...later,
  }),
  vector('no-entry', 'format', 'a path without an entry', { ...bundle, inclusion: inclusion(0) }),
  vector('certificate', 'path', 'the certificate was altered', { ...good, ...altered() }),
]

function altered(): LooseDocumentBundle {
  const changed = single(certificate)
  changed.document.description = 'November, second half'
  return changed
}

function vector<Expect extends string>(name: string, expect: Expect, why: string, value: unknown) {
  return { name, expect, why, text: `${JSON.stringify(value, null, 2)}\n` }
}
