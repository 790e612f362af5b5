import { type Static, Type } from 'typebox'
import { outcomeNumbers } from '#billing/outcome.ts'
import { decodeCursor, encodeCursor, type LogCursor } from '#domain/usage/log-cursor.ts'
import { type ExportFormat, exportFormats, type LogExports } from '#domain/usage/log-export.ts'
import { logEntryView } from '#domain/usage/log-view.ts'
import { usageOriginNames } from '#domain/usage/usage-filter.ts'
import { LOG_OFFSET_MAX, type LogQuery, type UsageLog } from '#domain/usage/usage-log.ts'
import { usageProject } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { invalid } from './lenient-validator.ts'
import { llmringAnswers } from './schemas.ts'
import { queryIssue, readUsageQuery, usageQueryMembers } from './usage-query.ts'

const LIMIT_DEFAULT = 50
const LIMIT_MAX = 500
const CURSOR_CHARS_MAX = 200

export interface LogsDeps {
  usageLog: UsageLog
  logExports: LogExports
}

const LogsQuery = Type.Object({
  ...usageQueryMembers,
  conversation_id: Type.Optional(
    Type.String({
      pattern: '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$',
      description: 'The id of a conversation. Only reported calls belong to one. The admin key names its project too.',
    }),
  ),
})

const Count = Type.Integer({ minimum: 0 })
const orNull = <Schema extends Parameters<typeof Type.Union>[0][0]>(schema: Schema) => Type.Union([schema, Type.Null()])
const Text = Type.String()
const Nanos = Type.String({ pattern: '^(0|[1-9]\\d*)$' })

const EntryBody = Type.Object({
  id: Type.String({ description: 'UUID.' }),
  logged_at: Type.String({
    format: 'date-time',
    description: 'When the call ended, by the clock of whoever told of it.',
  }),
  provider: Text,
  model: Type.String({ description: 'What served the call; where that is not known, what was asked for.' }),
  alias: orNull(Text),
  profile: orNull(Text),
  origin: orNull(Text),
  input_tokens: Type.Integer({ minimum: 0, description: 'Cache reads and writes included.' }),
  output_tokens: Type.Integer({ minimum: 0, description: 'Reasoning included.' }),
  cached_input_tokens: Count,
  cost: Type.Number({ minimum: 0, description: 'Dollars; 0 also where nobody knows, see `cost_nanousd`.' }),
  metadata: Type.Unknown(),
  conversation_id: orNull(Text),
  id_at_origin: orNull(Text),
  alias_name: orNull(Text),
  source: Type.Enum(usageOriginNames),
  cost_nanousd: Type.Union([Nanos, Type.Null()], {
    description:
      'What the wallet was charged; of a reported call what the price book says, or null where it cannot say.',
  }),
  cost_status: Type.String({
    description: '`charged` for calls through the gateway; else how the cost was found, or why not.',
  }),
  reported_cost: Type.Union([Text, Type.Null()], { description: 'Dollars, as the client reckoned.' }),
  receipt_id: Type.Union([Text, Type.Null()], {
    description: 'The receipt of a call, or the certificate of a reported one.',
  }),
  project_id: orNull(Text),
  key_id: Text,
  received_at: Type.String({ format: 'date-time', description: 'When it was recorded, by the clock of the server.' }),
  outcome: orNull(Type.Enum(Object.keys(outcomeNumbers))),
  model_requested: Text,
  latency_ms: orNull(Type.Integer()),
})

export function logsRoutes(app: HttpInstance, deps: LogsDeps) {
  app.get(
    '/api/v1/logs',
    {
      config: { scope: 'read', operator: true },
      schema: {
        summary: 'Calls, newest first, one page at a time',
        description:
          '`x-next-cursor` and the link with `rel="next"` lead to the next page; without them this page is the last. ' +
          'Pages by cursor meet every call once, whatever is added meanwhile; pages by offset move with it.',
        querystring: Type.Object({
          ...LogsQuery.properties,
          limit: Type.Optional(
            Type.Integer({ minimum: 1, maximum: LIMIT_MAX, description: `Default ${LIMIT_DEFAULT}.` }),
          ),
          offset: Type.Optional(Type.Integer({ minimum: 0, description: `At most ${LOG_OFFSET_MAX}.` })),
          after: Type.Optional(
            Type.String({ maxLength: CURSOR_CHARS_MAX, description: 'The `x-next-cursor` of the page before.' }),
          ),
        }),
        response: llmringAnswers({ 200: Type.Array(EntryBody) }, 400, 401, 403, 422, 503),
      },
    },
    async (request, reply) => {
      const { limit = LIMIT_DEFAULT, offset, after: cursor } = request.query
      const asked = readLogQuery(request.query, usageProject(request))
      const after = cursor === undefined ? undefined : readCursor(cursor, offset)
      if (offset !== undefined && offset > LOG_OFFSET_MAX) {
        const msg = `Input should be at most ${LOG_OFFSET_MAX}: go on with after=, from the header x-next-cursor`
        throw invalid([queryIssue('offset', msg, offset)])
      }
      const page = await deps.usageLog.page(asked, { limit, offset, after })
      if (page.next !== undefined) {
        const next = encodeCursor(page.next)
        reply.headers({ 'x-next-cursor': next, link: `<${nextAddress(request.url, next)}>; rel="next"` })
      }
      return page.entries.map(logEntryView)
    },
  )

  const ExportQuery = Type.Object({
    ...LogsQuery.properties,
    format: Type.Optional(Type.Enum(exportFormats, { description: 'Default: what `Accept` asks for, else csv.' })),
  })
  app.get(
    '/api/v1/logs/export',
    {
      // Whoever asks for the head alone would have the whole file made.
      exposeHeadRoute: false,
      config: { scope: 'read', operator: true },
      schema: {
        summary: 'Calls as a file, newest first, of any size: CSV, NDJSON or Parquet',
        description:
          'The columns are those of docs/stats.md. A file that breaks off was not finished: its connection breaks too.',
        querystring: ExportQuery,
        response: llmringAnswers({ 200: FileBody }, 400, 401, 403, 422, 503),
      },
    },
    async (request, reply) => {
      const asked = readLogQuery(request.query, usageProject(request))
      const format = chooseFormat(request.query, request.headers.accept)
      const file = await deps.logExports.open(asked, format)
      return reply
        .type(contentTypes[format])
        .header('content-disposition', `attachment; filename="usage.${format}"`)
        .header('vary', [reply.getHeader('vary'), 'Accept'].filter(Boolean).join(', '))
        .send(file)
    },
  )

  function chooseFormat({ format }: Static<typeof ExportQuery>, accept = ''): ExportFormat {
    if (format !== undefined) return format
    const asked = accept.split(',').map((range) => range.split(';')[0]?.trim().toLowerCase())
    return exportFormats.find((name) => asked.includes(mediaTypeOf(contentTypes[name]))) ?? 'csv'
  }
}

const contentTypes: Readonly<Record<ExportFormat, string>> = {
  csv: 'text/csv; charset=utf-8; header=present',
  ndjson: 'application/x-ndjson; charset=utf-8',
  parquet: 'application/vnd.apache.parquet',
}

const FileBody = {
  description: 'The file.',
  content: Object.fromEntries(
    exportFormats.map((name) => [mediaTypeOf(contentTypes[name]), { schema: Type.String() }]),
  ),
}

function mediaTypeOf(contentType: string): string {
  return contentType.split(';')[0] ?? ''
}

/** Throws AppError with status 422 for what it cannot mean. */
function readLogQuery(query: Static<typeof LogsQuery>, own: string | undefined): LogQuery {
  const { filter, range, hasEnd } = readUsageQuery(query, own)
  const conversationId = query.conversation_id
  if (conversationId !== undefined && filter.projectId === undefined)
    throw invalid([queryIssue('conversation_id', 'Input needs the project that it belongs to', conversationId)])
  return { filter, range, hasEnd, conversationId }
}

/** Throws AppError with status 422. */
function readCursor(text: string, offset: number | undefined): LogCursor {
  if (offset !== undefined) throw invalid([queryIssue('offset', 'Input has no place beside after', offset)])
  const cursor = decodeCursor(text)
  if (cursor === undefined) throw invalid([queryIssue('after', 'Input is not the cursor of a page', text)])
  return cursor
}

/** The same question with another cursor, relative to this server. */
function nextAddress(url: string, next: string): string {
  const [path = '', query = ''] = url.split('?')
  const parameters = new URLSearchParams(query)
  parameters.delete('offset')
  parameters.set('after', next)
  return `${path}?${parameters}`
}
