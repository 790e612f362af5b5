import { ByteWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer'
import { type ExportColumn, exportColumns } from './export-columns.ts'
import type { LogEntry } from './log-entry.ts'

/** Rows of a group: as many as are in memory at once, and as are encoded without a pause. */
export const ROW_GROUP_ROWS = 5_000
const NANOS_PER_USD = 1e9

/** Parquet with snappy. Each row group leaves as soon as it is whole; the end of the file says where they are. */
export async function* encodeParquet(pages: AsyncIterable<LogEntry[]>): AsyncGenerator<Uint8Array> {
  const bytes = new ByteWriter()
  const writer = new ParquetWriter({ writer: bytes, schema, createdBy: 'fluxgate' })
  let group: LogEntry[] = []
  for await (const page of pages) {
    group.push(...page)
    if (group.length < ROW_GROUP_ROWS) continue
    await writer.write({ columnData: transpose(group), rowGroupSize: group.length })
    group = []
    yield drain(bytes)
  }
  if (group.length > 0) await writer.write({ columnData: transpose(group), rowGroupSize: group.length })
  await writer.finish()
  yield drain(bytes)
}

/** Takes what was written; offsets go on counting from the beginning of the file. */
function drain(bytes: ByteWriter): Uint8Array {
  const chunk = bytes.getBytes().slice()
  bytes.index = 0
  return chunk
}

function transpose(entries: readonly LogEntry[]) {
  return exportColumns.map((column) => ({
    name: column.name,
    data: entries.map((entry) => cellOf(column, entry)),
    // Bounds help to skip groups by time, and would hold on to a text of each group for all the others.
    statistics: column.kind !== 'text',
  }))
}

function cellOf(column: ExportColumn, entry: LogEntry): string | bigint | number | null {
  switch (column.kind) {
    case 'time':
      return microsOf(column.of(entry))
    case 'nanos': {
      const nanos = column.of(entry)
      return nanos === null ? null : Number(nanos) / NANOS_PER_USD
    }
    default:
      return column.of(entry)
  }
}

function microsOf(time: string | null): bigint | null {
  return time === null ? null : BigInt(Date.parse(time)) * 1_000n + BigInt(time.slice(23, 26))
}

const types: Readonly<Record<ExportColumn['kind'], Omit<SchemaElement, 'name'>>> = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  time: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
  },
  integer: { type: 'INT64' },
  nanos: { type: 'DOUBLE' },
}

const schema: SchemaElement[] = [
  { name: 'usage', num_children: exportColumns.length },
  ...exportColumns.map(({ name, kind, optional }) => ({
    name,
    repetition_type: optional ? ('OPTIONAL' as const) : ('REQUIRED' as const),
    ...types[kind],
  })),
]
