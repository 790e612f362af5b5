import { Type } from 'typebox'
import { dollars, namedGroups, pythonTime } from '#billing/llmring-profile.ts'
import type { EntriesSummary } from '#billing/summarize-entries.ts'
import type { CertificateRequest } from '#domain/certificates/certificates.ts'
import type { ReceiptDesk } from '#domain/certificates/receipt-desk.ts'
import type { SentReceipt } from '#domain/certificates/verify-receipt.ts'
import { requireIdempotencyKey } from '#domain/plain-text.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { AppError } from '#src/errors.ts'
import { lenientValidator } from './lenient-validator.ts'
import { plainUuid, readSelection } from './read-selection.ts'
import {
  AnyReceipt,
  CertifiedList,
  EntryBundle,
  EntryParams,
  GenerateBody,
  Generated,
  llmringFields,
  PageQuery,
  Preview,
  ReceiptList,
  ReceiptParams,
  ReceiptView,
  UncertifiedList,
  Verdict,
} from './receipt-bodies.ts'
import { certifiedRow, gatewayRow, uncertifiedRow } from './receipt-rows.ts'
import { llmringAnswers } from './schemas.ts'
import { requireStrictJson } from './strict-body.ts'

const PATH = '/api/v1/receipts'
const NO_LOGS = 'No logs found matching the criteria'

const SentBody = Type.Object(
  { ...llmringFields, signature: Type.Optional(Type.String({ maxLength: 255 })) },
  { additionalProperties: true },
)
const readSent = lenientValidator({ schema: SentBody, method: 'POST', url: `${PATH}/verify`, httpPart: 'body' })

export interface ReceiptsDeps {
  receiptDesk: ReceiptDesk
}

/** Receipts as llmring-server serves them: of calls, of reported usage, and its own old ones. */
export function receiptsRoutes(app: HttpInstance, { receiptDesk: desk }: ReceiptsDeps) {
  const notFound = (message = 'Receipt not found') => new AppError('not_found', { message })

  app.get(
    PATH,
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Receipts of your project, the newest first',
        querystring: PageQuery,
        response: llmringAnswers({ 200: ReceiptList }, 400, 401, 403, 422, 503),
      },
    },
    async (request) => {
      const page = pageOf(request.query)
      return { ...(await desk.book.list(clientKey(request), page)), ...page } as never
    },
  )

  app.get(
    `${PATH}/uncertified`,
    {
      config: { scope: 'read' },
      schema: {
        summary: 'Reported usage that no certificate is about, the newest first',
        description: 'Calls through the gateway have their receipts, and never stand here.',
        querystring: PageQuery,
        response: llmringAnswers({ 200: UncertifiedList }, 400, 401, 403, 422, 503),
      },
    },
    async (request) => {
      const page = pageOf(request.query)
      const { entries, total } = await desk.certificates.uncertified(clientKey(request), page)
      return { logs: entries.map(uncertifiedRow), total, ...page }
    },
  )

  app.post(
    `${PATH}/generate`,
    {
      config: { scope: 'ingest' },
      schema: {
        summary: 'Certify reported usage: a signed statement about these logs, each of them once',
        description: 'With an `Idempotency-Key`, the same request is answered with the same certificate.',
        body: GenerateBody,
        response: llmringAnswers({ 200: Generated }, 400, 401, 403, 409, 422, 503),
      },
    },
    async (request) => {
      const { description, tags } = request.body
      const key = request.headers['idempotency-key']
      const asked: CertificateRequest = {
        by: clientKey(request),
        selection: readSelection(request.body),
        ...(description !== undefined && description !== '' && { description }),
        ...(tags !== undefined && tags.length > 0 && { tags }),
        ...(key !== undefined && { idempotencyKey: requireIdempotencyKey(String(key)) }),
      }
      const { receipt, certified } = await desk.generate(asked)
      return { receipt, certified_count: certified } as never
    },
  )

  app.post(
    `${PATH}/preview`,
    {
      config: { scope: 'read' },
      schema: {
        summary: 'What a certificate about these logs would say',
        body: GenerateBody,
        response: llmringAnswers({ 200: Preview }, 400, 401, 403, 409, 422, 503),
      },
    },
    async (request) => {
      const by = clientKey(request)
      const summary = await desk.certificates.preview({ by, selection: readSelection(request.body) })
      return summary === undefined
        ? { total_logs: 0, total_cost: 0, total_tokens: 0, message: NO_LOGS }
        : previewOf(summary)
    },
  )

  app.post(
    `${PATH}/verify`,
    {
      preParsing: requireStrictJson,
      schema: {
        summary: 'Check a receipt, of this server or of llmring-server',
        description:
          'Anybody may. What it says can be checked offline as well: docs/receipts.md, docs/certificates.md.',
        body: AnyReceipt,
        response: llmringAnswers({ 200: Verdict }, 413, 422, 503),
      },
    },
    async (request) => {
      const members = request.body as Record<string, unknown>
      const verdict = await (Object.hasOwn(members, 'batch')
        ? desk.verifyBundle(members)
        : desk.verifySent(sentReceipt(members)))
      return {
        receipt_id: verdict.receiptId,
        valid: verdict.valid,
        algorithm: 'Ed25519' as const,
        key_id: verdict.keyId,
        steps: verdict.steps.map(({ name, ok, reached, detail }) => ({ name, ok, reached, detail })),
        unsigned: [...verdict.unsigned],
      }
    },
  )

  for (const url of [PATH, `${PATH}/issue`]) {
    app.post(
      url,
      {
        schema: {
          summary: 'Answers 410: nothing that a client sends is signed or stored as a receipt',
          response: llmringAnswers({}, 410),
        },
        // Before a body is read: none is wanted.
        async onRequest() {
          throw new AppError('receipt_not_accepted')
        },
      },
      async () => undefined as never,
    )
  }

  app.get(
    `${PATH}/:receipt_id`,
    {
      config: { scope: 'read' },
      schema: {
        summary: 'One receipt, with its bundle that verifies offline',
        params: ReceiptParams,
        response: llmringAnswers({ 200: ReceiptView }, 400, 401, 403, 404, 503),
      },
    },
    async (request) => {
      const receipt = await desk.book.find(clientKey(request), request.params.receipt_id)
      if (receipt === undefined) throw notFound()
      return (await desk.book.show(receipt)) as never
    },
  )

  app.get(
    `${PATH}/:receipt_id/logs`,
    {
      config: { scope: 'read' },
      schema: {
        summary: 'The logs that a receipt is about; of a certificate, each with its leaf and path',
        params: ReceiptParams,
        querystring: PageQuery,
        response: llmringAnswers({ 200: CertifiedList }, 400, 401, 403, 404, 422, 503),
      },
    },
    async (request) => {
      const page = pageOf(request.query)
      const { receipt_id } = request.params
      const logs = await desk.logsOf(clientKey(request), receipt_id, page)
      if (logs === undefined) throw notFound('Receipt not found or access denied')
      const { entries, total, receipt } = logs
      const rows = receipt === undefined ? entries.map(certifiedRow) : [gatewayRow(receipt)].slice(page.offset)
      return { receipt_id, logs: rows, total, ...page } as never
    },
  )

  app.get(
    `${PATH}/:receipt_id/entries/:log_id`,
    {
      config: { scope: 'read' },
      schema: {
        summary: 'One log of a certificate, with everything that verifies it offline',
        params: EntryParams,
        response: llmringAnswers({ 200: EntryBundle }, 400, 401, 403, 404, 503),
      },
    },
    async (request) => {
      const { receipt_id, log_id } = request.params
      const bundle = await desk.entryBundle(clientKey(request), receipt_id, plainUuid(log_id))
      if (bundle === undefined) throw notFound('No certificate of your project with this id is about this log')
      return bundle as never
    },
  )
}

function pageOf({ limit = 100, offset = 0 }: { limit?: number; offset?: number }) {
  return { limit, offset }
}

function previewOf(summary: EntriesSummary) {
  const { totals } = summary
  return {
    total_logs: totals.calls,
    total_conversations: summary.conversations,
    total_tokens: totals.input_tokens + totals.output_tokens,
    total_cost: dollars(totals.cost_nanousd),
    start_date: pythonTime(summary.start),
    end_date: pythonTime(summary.end),
    by_model: namedGroups(summary.by_model, 'model_used'),
    by_alias: namedGroups(summary.by_alias, 'alias_name'),
    receipt_type: summary.receipt_type,
    total_cost_nanousd: totals.cost_nanousd,
    unpriced: totals.unpriced,
  }
}

/** Members as pydantic reads them: numbers may come as text. Throws AppError body_invalid. */
function sentReceipt(members: Record<string, unknown>): SentReceipt {
  const read = readSent(members) as { value: SentReceipt['fields'] & { signature?: string } } | { error: AppError }
  if ('error' in read) throw read.error
  const { signature, ...value } = read.value
  return { fields: value, signature, members }
}
