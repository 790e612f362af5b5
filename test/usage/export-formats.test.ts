import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'
import { encodeCsv, textCell } from '#domain/usage/export-csv.ts'
import { encodeNdjson } from '#domain/usage/export-ndjson.ts'
import { encodeParquet, ROW_GROUP_ROWS } from '#domain/usage/export-parquet.ts'
import type { LogEntry } from '#domain/usage/log-entry.ts'
import { logEntryView } from '#domain/usage/log-view.ts'

const HEADER =
  'logged_at,provider,model,alias,profile,origin,input_tokens,output_tokens,cost,id,source,project_id,key_id,model_requested,' +
  'cached_input_tokens,cost_nanousd,cost_status,reported_cost,outcome,latency_ms,receipt_id,conversation_id,id_at_origin,' +
  'received_at,metadata'

function entry(n: number, changes: Partial<LogEntry> = {}): LogEntry {
  return {
    id: `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`,
    source: 'reported',
    occurredAt: '2026-11-22T01:36:17.944440Z',
    receivedAt: '2026-11-22T01:36:18.000001Z',
    projectId: 'prj_a',
    keyId: 'key_a',
    provider: 'openai',
    model: 'gpt-4o',
    modelRequested: 'gpt-4o',
    aliasName: `alias ${n % 7}`,
    profile: 'default',
    origin: null,
    idAtOrigin: null,
    conversationId: null,
    inputTokens: 1_000n,
    outputTokens: BigInt(n),
    cachedInputTokens: 400n,
    costNanos: 240_000n,
    costStatus: 'priced',
    reportedCost: '0.00024',
    outcome: null,
    latencyMs: null,
    receiptId: null,
    metadata: '{}',
    ...changes,
  }
}

async function* pagesOf(...pages: LogEntry[][]): AsyncGenerator<LogEntry[]> {
  yield* pages
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks))
}

for (const [text, want] of [
  ['plain', 'plain'],
  [null, ''],
  ['', ''],
  ['=1+1', `'=1+1`],
  ['+1', `'+1`],
  ['-1', `'-1`],
  ['@cmd', `'@cmd`],
  ['\t=1', `'\t=1`],
  ['\r=1', `"'\r=1"`],
  ['\uff1d1', `'\uff1d1`],
  ['a=1', 'a=1'],
  ['a,b', '"a,b"'],
  ['say "hi"', '"say ""hi"""'],
  ['=HYPERLINK("x","y")', `"'=HYPERLINK(""x"",""y"")"`],
  ['two\nlines', '"two\nlines"'],
  [' padded ', ' padded '],
] as const)
  test(`a cell of CSV: ${JSON.stringify(text)}`, () => assert.equal(textCell(text), want))

test('CSV begins with the columns of llmring’s client, ends its lines with CRLF, and leaves unknown cells empty', async () => {
  const unpriced = entry(2, { costNanos: null, costStatus: 'model_unknown', aliasName: '=1', metadata: '{"a":"b"}' })
  const text = (await collect(encodeCsv(pagesOf([entry(1)], [unpriced])))).toString()
  const [header, first, second, ...rest] = text.split('\r\n')
  assert.equal(header, HEADER)
  assert.equal(
    first,
    '2026-11-22T01:36:17.944440Z,openai,gpt-4o,alias 1,default,,1000,1,0.000240000,00000000-0000-7000-8000-000000000001,reported,' +
      'prj_a,key_a,gpt-4o,400,240000,priced,0.00024,,,,,,2026-11-22T01:36:18.000001Z,{}',
  )
  assert.equal(
    second,
    `2026-11-22T01:36:17.944440Z,openai,gpt-4o,'=1,default,,1000,2,,00000000-0000-7000-8000-000000000002,reported,` +
      'prj_a,key_a,gpt-4o,400,,model_unknown,0.00024,,,,,,2026-11-22T01:36:18.000001Z,"{""a"":""b""}"',
  )
  assert.deepEqual(rest, [''])
})

test('NDJSON is one entry a line', async () => {
  const text = (await collect(encodeNdjson(pagesOf([entry(1), entry(2)], [entry(3)])))).toString()
  const lines = text.split('\n')
  assert.equal(lines.pop(), '')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [1, 2, 3].map((n) => logEntryView(entry(n))),
  )
})

test('an entry without a price costs 0 for llmring’s clients, and null where it is exact', () => {
  const view = logEntryView(entry(1, { costNanos: null, costStatus: 'model_unknown' }))
  assert.deepEqual([view.cost, view.cost_nanousd, view.cost_status], [0, null, 'model_unknown'])
})

test('Parquet leaves by row groups and reads back as what went in', async () => {
  const count = 2 * ROW_GROUP_ROWS + 5
  const entries = Array.from({ length: count }, (_, n) =>
    entry(
      n,
      n % 3 === 0 ? { costNanos: null, aliasName: null, latencyMs: 12n, source: 'gateway', outcome: 'complete' } : {},
    ),
  )
  const pages = Array.from({ length: Math.ceil(count / 1_000) }, (_, n) => entries.slice(n * 1_000, (n + 1) * 1_000))
  const chunks = await Array.fromAsync(encodeParquet(pagesOf(...pages)))
  assert.equal(chunks.length, 3, 'a chunk for each row group, the last with the end of the file')
  const { buffer, byteOffset, byteLength } = Buffer.concat(chunks)
  const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer
  const metadata = parquetMetadata(file)
  assert.deepEqual(
    metadata.row_groups.map(({ num_rows }) => num_rows),
    [BigInt(ROW_GROUP_ROWS), BigInt(ROW_GROUP_ROWS), 5n],
  )
  assert.equal(
    metadata.schema
      .slice(1)
      .map(({ name }) => name)
      .join(),
    HEADER,
  )
  const rows = await parquetReadObjects({ file, parsers: rawTimes })
  assert.equal(rows.length, count)
  for (const [n, row] of rows.entries()) {
    const from = entries[n]
    assert(from)
    assert.deepEqual(
      [row.id, row.source, row.alias, row.input_tokens, row.output_tokens, row.cost, row.cost_nanousd, row.latency_ms],
      [
        from.id,
        from.source,
        from.aliasName,
        from.inputTokens,
        from.outputTokens,
        from.costNanos === null ? null : 0.00024,
        from.costNanos,
        from.latencyMs,
      ],
    )
    assert.equal(row.logged_at, 1_795_311_377_944_440n)
  }
})

test('a Parquet file without entries has its columns all the same', async () => {
  const { buffer, byteOffset, byteLength } = await collect(encodeParquet(pagesOf([])))
  const metadata = parquetMetadata(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer)
  assert.equal(metadata.num_rows, 0n)
  assert.equal(metadata.schema.length, HEADER.split(',').length + 1)
})

/** Microseconds as they stand in the file: a Date would lose three digits. */
const rawTimes = { timestampFromMicroseconds: (micros: bigint) => micros }
