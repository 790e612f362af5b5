import { type TSchema, Type } from 'typebox'
import {
  type FluxHistory,
  HISTORY_OFFSET_MAX,
  HISTORY_PAGE_MAX,
  type HistoryCursor,
  type Movement,
} from '#domain/flux/flux-history.ts'
import { fluxBalanceView, HISTORY_CSV_HEAD, movementCsv, movementView } from '#domain/flux/flux-views.ts'
import { toStream } from '#domain/usage/log-export.ts'
import { walletView } from '#domain/views.ts'
import type { Wallets } from '#domain/wallets.ts'
import { uuidFromName } from '#lib/ids.ts'
import { person } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { WalletBody } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'
import { airiAnswers } from './airi-answers.ts'

const LIMIT = { default: 20, max: 100 }
const EXPORTS_MAX = 4
const RETRY_SECONDS = 10

const Nanos = Type.String({ pattern: '^(0|[1-9][0-9]*)$', description: 'Nano-dollars, as a decimal string.' })

const BalanceBody = Type.Object({
  userId: Type.String(),
  flux: Type.Integer({ description: 'What can be spent now, in whole Flux, rounded down.' }),
  flux_exact: Type.String(),
  balance_nanousd: Nanos,
  held_nanousd: Nanos,
  available_nanousd: Nanos,
  frozen: Type.Boolean(),
})

const RecordBody = Type.Object({
  id: Type.String(),
  type: Type.Enum(['credit', 'debit', 'initial', 'promo']),
  amount: Type.Number({ description: 'Flux, above zero; a fraction where a call cost one.' }),
  description: Type.String(),
  metadata: Type.Object({ kind: Type.String() }, { additionalProperties: true }),
  createdAt: Type.String(),
  amount_nanousd: Nanos,
})

const CsvBody = {
  description: 'RFC 4180, safe for spreadsheets.',
  content: { 'text/csv': { schema: Type.String() } },
}

const HistoryBody = Type.Object({
  records: Type.Array(RecordBody),
  hasMore: Type.Boolean(),
  next_after: Type.Union([Type.String(), Type.Null()], { description: 'The `after` of the next page.' }),
})

export interface FluxDeps {
  wallets: Wallets
  fluxHistory: FluxHistory
  fluxNanousd: bigint
}

/** A person's balance and what moved it, as AIRI's clients ask for them. */
export function fluxRoutes(app: HttpInstance, deps: FluxDeps) {
  const { wallets, fluxHistory, fluxNanousd } = deps
  let exporting = 0

  const viewOf = (projectId: string) => {
    const initial = uuidFromName('grant', projectId, 'initial')
    return (movement: Movement) => movementView(movement, movement.id === initial, fluxNanousd)
  }
  const ask = <Body extends TSchema>(summary: string, body: Body, ...errors: number[]) => ({
    summary,
    response: airiAnswers({ 200: body }, ...errors, 401, 403, 503),
  })

  app.get('/api/v1/flux', { schema: ask('Your balance', BalanceBody) }, async (request) => {
    const { userId, projectId } = person(request)
    return fluxBalanceView(userId, await wallets.ofProject(projectId), fluxNanousd)
  })

  app.get(
    '/api/v1/flux/stats',
    { schema: ask('What your balance was when it was last credited', Type.Object({ capacity: Type.Integer() })) },
    async (request) => ({
      capacity: Number((await fluxHistory.capacity(person(request).projectId)) / fluxNanousd),
    }),
  )

  app.get(
    '/api/v1/flux/lots',
    { schema: ask('Your balance lot by lot, in the order of use', WalletBody) },
    async (request) => walletView(await wallets.ofProject(person(request).projectId), fluxNanousd),
  )

  app.get(
    '/api/v1/flux/history',
    {
      schema: {
        ...ask('What moved your balance, newest first', HistoryBody, 400),
        querystring: Type.Object({
          limit: Type.Optional(
            Type.String({ maxLength: 100, description: `1 to ${LIMIT.max}; default ${LIMIT.default}.` }),
          ),
          offset: Type.Optional(Type.String({ maxLength: 100, description: `At most ${HISTORY_OFFSET_MAX}.` })),
          after: Type.Optional(Type.String({ maxLength: 200, description: 'The `next_after` of the page before.' })),
        }),
      },
    },
    async (request) => {
      const { projectId } = person(request)
      const limit = Math.min(Math.max(numberOr(request.query.limit, LIMIT.default), 1), LIMIT.max)
      const offset = Math.max(numberOr(request.query.offset, 0), 0)
      if (offset > HISTORY_OFFSET_MAX)
        throw new AppError('body_invalid', {
          message: `'offset' must be at most ${HISTORY_OFFSET_MAX}: go on with 'after'.`,
          param: 'offset',
        })
      const after = readCursor(request.query.after)
      const page = await fluxHistory.page(projectId, { limit, offset, ...(after && { after }) })
      const last = page.movements.at(-1)
      return {
        records: page.movements.map(viewOf(projectId)),
        hasMore: page.hasMore,
        next_after: page.hasMore && last !== undefined ? writeCursor(last) : null,
      }
    },
  )

  app.get(
    '/api/v1/flux/history.csv',
    {
      exposeHeadRoute: false,
      schema: {
        summary: 'The same as a file, whole',
        response: airiAnswers({ 200: CsvBody as TSchema }, 401, 403, 503),
      },
    },
    async (request, reply) => {
      const { projectId } = person(request)
      if (exporting >= EXPORTS_MAX)
        throw new AppError('overloaded', { headers: { 'retry-after': String(RETRY_SECONDS) } })
      exporting += 1
      try {
        // Read before anything is sent, so that a database that is away is an answer and not half a file.
        const first = await fluxHistory.page(projectId, { limit: HISTORY_PAGE_MAX })
        const stream = toStream(csvPages(fluxHistory, projectId, first, fluxNanousd))
        stream.once('close', () => {
          exporting -= 1
        })
        return reply
          .type('text/csv; charset=utf-8')
          .header('content-disposition', 'attachment; filename="flux-history.csv"')
          .send(stream)
      } catch (error) {
        exporting -= 1
        throw error
      }
    },
  )
}

async function* csvPages(
  history: FluxHistory,
  projectId: string,
  first: { movements: Movement[]; hasMore: boolean },
  fluxNanousd: bigint,
): AsyncGenerator<Uint8Array> {
  yield Buffer.from(HISTORY_CSV_HEAD)
  let page = first
  for (;;) {
    yield Buffer.from(page.movements.map((movement) => movementCsv(movement, fluxNanousd)).join(''))
    const last = page.movements.at(-1)
    if (!page.hasMore || last === undefined) return
    page = await history.page(projectId, { limit: HISTORY_PAGE_MAX, after: last })
  }
}

/** As AIRI reads it: what is no number counts as left out. */
function numberOr(text: string | undefined, fallback: number): number {
  const value = Number.parseInt(text ?? '', 10)
  return Number.isFinite(value) ? value : fallback
}

function writeCursor({ at, id }: HistoryCursor): string {
  return Buffer.from(`${at} ${id}`).toString('base64url')
}

function readCursor(text: string | undefined): HistoryCursor | undefined {
  if (text === undefined || text === '') return undefined
  const [, at, id] =
    /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z) ([0-9a-f]{32})$/.exec(Buffer.from(text, 'base64url').toString()) ??
    []
  if (at === undefined || id === undefined || Number.isNaN(Date.parse(at)) || at < '0001')
    throw new AppError('body_invalid', { message: "'after' is not what a page ended with.", param: 'after' })
  return { at, id }
}
