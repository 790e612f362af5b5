import { Type } from 'typebox'
import type { Conversations } from '#domain/conversations/conversations.ts'
import type { ConversationLog } from '#domain/conversations/log-conversation.ts'
import { RETENTION_DAYS_MAX } from '#domain/projects.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import {
  CallBody,
  ConversationBody,
  ConversationWithMessagesBody,
  conversationView,
  MessageBody,
  MessagesBody,
  messageView,
  readMessage,
  WordsBody,
} from './conversation-schemas.ts'
import { readCall, readWords } from './read-conversation.ts'
import { recordedMembers, recordedView } from './recorded-usage.ts'
import { llmringAnswers } from './schemas.ts'

const BYTES_MAX = 16 * 1024 * 1024
const LIST_DEFAULT = 20
const LIST_MAX = 100
const MESSAGES_DEFAULT = 100
const MESSAGES_READ_MAX = 1_000
const OFFSET_MAX = 1_000_000

export interface ConversationDeps {
  conversations: Conversations
  logConversation: ConversationLog
}

const PathId = Type.Object({
  id: Type.String({ pattern: '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$' }),
})
const limit = (fallback: number, maximum: number) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, description: `Default ${fallback}.` }))
const offset = Type.Optional(Type.Integer({ minimum: 0, maximum: OFFSET_MAX }))

/** Conversations of a project, as llmring's clients report and read them. */
export function conversationRoutes(app: HttpInstance, deps: ConversationDeps) {
  writes(app, deps)
  // One of llmring's clients leaves the prefix out when it reads.
  for (const [base, hide] of [
    ['/api/v1/conversations', false],
    ['/conversations', true],
  ] as const)
    reads(app, deps, base, hide)
}

function writes(app: HttpInstance, { conversations, logConversation }: ConversationDeps) {
  app.post(
    '/api/v1/conversations/log',
    {
      config: { scope: 'ingest' },
      bodyLimit: BYTES_MAX,
      schema: {
        summary: 'Report one call with what was said',
        description:
          'The call counts once: a report of its usage that names this conversation finds it counted. Messages are kept as ' +
          'far as the project asks for it; by default nothing of them is.',
        body: CallBody,
        response: llmringAnswers(
          {
            200: Type.Object({
              conversation_id: Type.String(),
              message_id: Type.Union([Type.String(), Type.Null()], {
                description: 'Of the answer; null where messages are not kept.',
              }),
              ...recordedMembers,
            }),
          },
          ...[400, 401, 403, 413, 415, 422, 503],
        ),
      },
    },
    async (request) => {
      const logged = await logConversation(clientKey(request), readCall(request.body, Date.now()))
      return { conversation_id: logged.conversationId, message_id: logged.messageId, ...recordedView(logged) }
    },
  )

  app.post(
    '/api/v1/conversations',
    {
      config: { scope: 'ingest' },
      bodyLimit: BYTES_MAX,
      schema: {
        summary: 'Open a conversation',
        body: WordsBody,
        response: llmringAnswers({ 200: ConversationBody }, 400, 401, 403, 413, 415, 422, 503),
      },
    },
    async (request) => conversationView(await conversations.create(clientKey(request), readWords(request.body))),
  )

  app.route({
    method: ['PATCH', 'PUT'],
    url: '/api/v1/conversations/:id',
    config: { scope: 'ingest' },
    bodyLimit: BYTES_MAX,
    schema: {
      summary: 'Change a conversation',
      params: PathId,
      body: WordsBody,
      response: llmringAnswers({ 200: ConversationBody }, 400, 401, 403, 404, 413, 415, 422, 503),
    },
    handler: async (request) => {
      const { projectId } = clientKey(request)
      return conversationView(await conversations.update(projectId, request.params.id, readWords(request.body)))
    },
  })

  app.post(
    '/api/v1/conversations/:id/messages/batch',
    {
      config: { scope: 'ingest' },
      bodyLimit: BYTES_MAX,
      schema: {
        summary: 'Add messages; the answer holds those that are kept',
        params: PathId,
        body: MessagesBody,
        response: llmringAnswers({ 200: Type.Array(MessageBody) }, 400, 401, 403, 404, 413, 415, 422, 503),
      },
    },
    async (request) => {
      const { messages, logging_level = 'full' } = request.body
      const { projectId } = clientKey(request)
      const { id } = request.params
      const kept = await conversations.addMessages(projectId, id, messages.map(readMessage), logging_level)
      return kept.map(messageView)
    },
  )

  app.delete(
    '/api/v1/conversations/old-messages',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Delete what was said in your project longer ago than so many days',
        querystring: Type.Object({
          retention_days: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: RETENTION_DAYS_MAX,
              description: 'What the project keeps, when absent.',
            }),
          ),
        }),
        response: llmringAnswers(
          {
            200: Type.Object({
              deleted_count: Type.Integer(),
              retention_days: Type.Integer(),
              has_more: Type.Boolean({ description: 'Ask again to delete the rest.' }),
            }),
          },
          ...[400, 401, 403, 422, 503],
        ),
      },
    },
    async (request) => {
      const { messages, days, hasMore } = await conversations.forget(
        clientKey(request).projectId,
        request.query.retention_days,
      )
      return { deleted_count: messages, retention_days: days, has_more: hasMore }
    },
  )
}

function reads(app: HttpInstance, { conversations }: ConversationDeps, base: string, hide: boolean) {
  app.get(
    base,
    {
      config: { scope: 'read' },
      schema: {
        hide,
        summary: 'Conversations, the one that changed last first',
        querystring: Type.Object({ limit: limit(LIST_DEFAULT, LIST_MAX), offset }),
        response: llmringAnswers({ 200: Type.Array(ConversationBody) }, 400, 401, 403, 422, 503),
      },
    },
    async (request) => {
      const { limit = LIST_DEFAULT, offset = 0 } = request.query
      const list = await conversations.list(clientKey(request).projectId, { limit, offset })
      return list.map(conversationView)
    },
  )

  app.get(
    `${base}/:id`,
    {
      config: { scope: 'read' },
      schema: {
        hide,
        summary: 'One conversation with its oldest messages',
        params: PathId,
        querystring: Type.Object({
          include_messages: Type.Optional(Type.Boolean({ description: 'Default true.' })),
          message_limit: limit(MESSAGES_DEFAULT, MESSAGES_READ_MAX),
        }),
        response: llmringAnswers({ 200: ConversationWithMessagesBody }, 400, 401, 403, 404, 422, 503),
      },
    },
    async (request) => {
      const { projectId } = clientKey(request)
      const { id } = request.params
      const { include_messages = true, message_limit = MESSAGES_DEFAULT } = request.query
      const conversation = await conversations.get(projectId, id)
      const page = { limit: message_limit, offset: 0 }
      const messages = include_messages ? await conversations.messages(projectId, id, page) : []
      return { ...conversationView(conversation), messages: messages.map(messageView) }
    },
  )

  app.get(
    `${base}/:id/messages`,
    {
      config: { scope: 'read' },
      schema: {
        hide,
        summary: 'What is kept of a conversation, oldest first',
        params: PathId,
        querystring: Type.Object({ limit: limit(MESSAGES_DEFAULT, MESSAGES_READ_MAX), offset }),
        response: llmringAnswers({ 200: Type.Array(MessageBody) }, 400, 401, 403, 404, 422, 503),
      },
    },
    async (request) => {
      const { limit = MESSAGES_DEFAULT, offset = 0 } = request.query
      const { projectId } = clientKey(request)
      return (await conversations.messages(projectId, request.params.id, { limit, offset })).map(messageView)
    },
  )
}
