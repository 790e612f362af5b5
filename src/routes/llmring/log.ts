import type { IncomingHttpHeaders } from 'node:http'
import { Type } from 'typebox'
import { requireIdempotencyKey } from '#domain/plain-text.ts'
import {
  REPORTS_PER_BATCH_MAX,
  type RecordedUsage,
  type ReportEntry,
  type UsageRecorder,
} from '#domain/usage/record-usage.ts'
import { readUsageReport } from '#domain/usage/usage-report.ts'
import { assert } from '#lib/assert.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { AppError } from '#src/errors.ts'
import { createLenientReader } from './lenient-validator.ts'
import { recordedMembers, recordedView } from './recorded-usage.ts'
import { detailOf } from './render-detail.ts'
import { llmringAnswers } from './schemas.ts'

const BATCH_BYTES_MAX = 8 * 1024 * 1024

export interface LogDeps {
  usage: UsageRecorder
}

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const part = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }))
const label = (description: string) =>
  Type.Optional(Type.String({ description: `${description} At most 255 characters.` }))
const time = (description: string) => Type.Optional(Type.String({ description }))

const ReportBody = Type.Object({
  model: Type.String({ description: 'As the provider knows it, or `provider:model`. At most 255 characters.' }),
  provider: Type.String({ description: 'At most 255 characters.' }),
  input_tokens: Count,
  output_tokens: Count,
  cached_input_tokens: part('How many of `input_tokens` were read from a cache.'),
  cache_write_5m_tokens: part('How many of `input_tokens` were written to a cache for five minutes.'),
  cache_write_1h_tokens: part('How many of `input_tokens` were written to a cache for an hour.'),
  audio_input_tokens: part('How many of `input_tokens` are audio.'),
  reasoning_tokens: part('How many of `output_tokens` are reasoning.'),
  audio_output_tokens: part('How many of `output_tokens` are audio.'),
  characters: part('Characters that were spoken.'),
  seconds: part('Seconds of audio that were heard.'),
  calls: part('Calls that are billed as such.'),
  alias: label('The alias that the call was made under; the same as `alias_name`.'),
  alias_name: label('The alias that the call was made under: a label that is kept and never resolved.'),
  profile: label('`default` when absent.'),
  cost: Type.Optional(Type.Number({ minimum: 0, description: 'Dollars, as you reckon; kept beside our own figure.' })),
  latency_ms: part('How long the call took.'),
  origin: label('What made the call.'),
  id_at_origin: label('What the call is called there.'),
  conversation_id: Type.Optional(Type.String({ description: 'UUID; else `metadata.conversation_id`.' })),
  metadata: Type.Optional(
    Type.Object({}, { additionalProperties: true, description: 'At most 64 KiB, 32 levels deep.' }),
  ),
  occurred_at: time('When the call was made, ISO 8601, by your clock; without a zone it is UTC. Now, when absent.'),
  timestamp: time('The same as `occurred_at`.'),
  idempotency_key: Type.Optional(Type.String({ description: '1 to 255 visible ASCII characters.' })),
})

const RecordedBody = Type.Object({
  ...recordedMembers,
  idempotent_replay: Type.Optional(Type.Literal(true, { description: 'It was recorded before.' })),
})

const ResultBody = Type.Object({
  index: Type.Integer({ minimum: 0 }),
  status: Type.Enum(['created', 'duplicate', 'refused']),
  status_code: Type.Integer({ description: 'What the entry alone would have been answered with.' }),
  ...Type.Partial(Type.Object(recordedMembers)).properties,
  code: Type.Optional(Type.String()),
  detail: Type.Optional(Type.Unknown({ description: 'As in an error.' })),
})

const readReportBody = createLenientReader(ReportBody, 'body')

/** Usage of calls that did not pass through the gateway. */
export function logRoutes(app: HttpInstance, deps: LogDeps) {
  app.post(
    '/api/v1/log',
    {
      config: { scope: 'ingest' },
      schema: {
        summary: 'Report one call that did not pass through the gateway: it is counted and never charged',
        description:
          'With an `Idempotency-Key` the same report is recorded once, and another report under it is 409. ' +
          'Null stands for a member that is absent, and members that are not known are ignored.',
        headers: Type.Object({ 'idempotency-key': Type.Optional(Type.String()) }),
        body: ReportBody,
        response: llmringAnswers({ 200: RecordedBody }, 400, 401, 403, 409, 413, 415, 422, 503),
      },
    },
    async (request) => {
      const { body } = request
      const entry: ReportEntry = {
        report: readUsageReport(body, Date.now()),
        idempotencyKey: keyOf(body.idempotency_key, headerKey(request.headers)),
      }
      const recorded = await deps.usage.record(clientKey(request), entry)
      return { ...recordedView(recorded), ...(recorded.isReplay && { idempotent_replay: true as const }) }
    },
  )

  app.post(
    '/api/v1/logs::batch',
    {
      config: { scope: 'ingest' },
      bodyLimit: BATCH_BYTES_MAX,
      schema: {
        summary: `Report up to ${REPORTS_PER_BATCH_MAX} calls at once`,
        description:
          'One result for each entry, in their order: an entry that is refused keeps no other from being recorded, and ' +
          'those that are recorded are so in one commit. With an `Idempotency-Key` an entry without a key of its own has ' +
          'that one, a slash and its index. The status is 207 when an entry was refused.',
        headers: Type.Object({ 'idempotency-key': Type.Optional(Type.String()) }),
        body: Type.Object({
          logs: Type.Array(Type.Unknown(), {
            maxItems: REPORTS_PER_BATCH_MAX,
            description: 'Each as the body of POST /api/v1/log.',
          }),
        }),
        response: llmringAnswers(
          {
            200: Type.Object({ results: Type.Array(ResultBody) }),
            207: Type.Object({ results: Type.Array(ResultBody) }),
          },
          ...[400, 401, 403, 413, 415, 422, 503],
        ),
      },
    },
    async (request, reply) => {
      const nowMs = Date.now()
      const batchKey = headerKey(request.headers)
      const entries = request.body.logs.map((value, index) =>
        readEntry(value, batchKey && `${batchKey}/${index}`, nowMs),
      )
      const good = entries.filter((entry): entry is ReportEntry => !(entry instanceof AppError))
      const recorded = await deps.usage.recordBatch(clientKey(request), good)
      let next = 0
      const results = entries.map((entry, index) => {
        const result = entry instanceof AppError ? entry : recorded[next++]
        assert(result !== undefined, 'every entry that was read has a result')
        return { index, ...resultView(result) }
      })
      return reply.code(results.some(({ status }) => status === 'refused') ? 207 : 200).send({ results })
    },
  )
}

function readEntry(value: unknown, batchKey: string | undefined, nowMs: number): ReportEntry | AppError {
  try {
    const body = readReportBody(value)
    return { report: readUsageReport(body, nowMs), idempotencyKey: keyOf(body.idempotency_key, undefined) ?? batchKey }
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
}

function headerKey(headers: IncomingHttpHeaders): string | undefined {
  const sent = headers['idempotency-key']
  return sent === undefined ? undefined : requireIdempotencyKey(String(sent))
}

function keyOf(own: string | undefined, header: string | undefined): string | undefined {
  const key = own === undefined || own === '' ? undefined : requireIdempotencyKey(own)
  if (key !== undefined && header !== undefined && key !== header)
    throw new AppError('idempotency_key_invalid', {
      message: 'The header and the body name different idempotency keys.',
    })
  return key ?? header
}

function resultView(result: RecordedUsage | AppError) {
  if (result instanceof AppError) {
    const { status, detail } = detailOf(result)
    return { status: 'refused' as const, status_code: status, code: result.code, detail }
  }
  return {
    status: result.isReplay ? ('duplicate' as const) : ('created' as const),
    status_code: 200,
    ...recordedView(result),
  }
}
