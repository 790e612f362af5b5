import { Type } from 'typebox'
import { DELIVERIES_PAGE_MAX, deliveryId, deliveryStates, type WebhookDeliveries } from '#domain/webhooks/deliveries.ts'
import { ENDPOINTS_MAX, SECRET_OVERLAP_SECONDS, type WebhookEndpoints } from '#domain/webhooks/endpoints.ts'
import { EVENTS_PAGE_MAX, type EventList } from '#domain/webhooks/event-list.ts'
import { deliveryView, eventView, webhookView } from '#domain/webhooks/views.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, Cursor, listOf, PathId, pageQuery } from '#routes/schemas.ts'
import {
  DeliveryBody,
  EventBody,
  NewWebhook,
  WebhookBody,
  WebhookChanges,
  WebhookWithSecretBody,
} from './webhook-schemas.ts'

export interface WebhookRoutesDeps {
  webhooks: WebhookEndpoints
  deliveries: WebhookDeliveries
  events: EventList
}

export function webhookRoutes(app: HttpInstance, deps: WebhookRoutesDeps) {
  const { webhooks, deliveries, events } = deps

  app.get(
    '/api/admin/webhooks',
    {
      schema: {
        summary: 'List webhooks, the oldest first',
        description: `There are at most ${ENDPOINTS_MAX}: one page has all of them.`,
        response: answers({ 200: listOf(WebhookBody, Type.String()) }, 401, 503),
      },
    },
    async () => ({
      object: 'list' as const,
      data: (await webhooks.list()).map(webhookView),
      has_more: false,
      next_after: null,
    }),
  )

  app.post(
    '/api/admin/webhooks',
    {
      schema: {
        summary: 'Have events sent to an address',
        description:
          'Messages are signed as https://www.standardwebhooks.com says, with the secret that is shown here.',
        body: NewWebhook,
        response: answers({ 201: WebhookWithSecretBody }, 400, 401, 409, 413, 415, 503),
      },
    },
    async (request, reply) => {
      const { event_types: eventTypes, ...named } = request.body
      const { endpoint, secret } = await webhooks.create({ ...named, eventTypes }, actorOf(request))
      return reply.code(201).send({ ...webhookView(endpoint), secret })
    },
  )

  app.get(
    '/api/admin/webhooks/:id',
    { schema: { summary: 'A webhook', params: PathId, response: answers({ 200: WebhookBody }, 401, 404, 503) } },
    async (request) => webhookView(await webhooks.get(request.params.id)),
  )

  app.patch(
    '/api/admin/webhooks/:id',
    {
      schema: {
        summary: 'Change a webhook, disable it or enable it again',
        description: 'While it is disabled, no event waits for it, and what was waiting is discarded.',
        params: PathId,
        body: WebhookChanges,
        response: answers({ 200: WebhookBody }, 400, 401, 404, 413, 415, 503),
      },
    },
    async (request) => {
      const { event_types: eventTypes, ...named } = request.body
      return webhookView(await webhooks.update(request.params.id, { ...named, eventTypes }, actorOf(request)))
    },
  )

  app.delete(
    '/api/admin/webhooks/:id',
    {
      schema: {
        summary: 'Remove a webhook and its deliveries',
        params: PathId,
        response: answers({ 204: Type.Null() }, 401, 404, 503),
      },
    },
    async (request, reply) => {
      await webhooks.remove(request.params.id, actorOf(request))
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/api/admin/webhooks/:id/rotate-secret',
    {
      schema: {
        summary: 'Give a webhook a new secret',
        description: 'Until the overlap is over, messages carry the signatures of both secrets.',
        params: PathId,
        body: Type.Object(
          {
            overlap_seconds: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: SECRET_OVERLAP_SECONDS.max,
                description: `How long the old secret goes on signing. Default ${SECRET_OVERLAP_SECONDS.default}.`,
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: WebhookWithSecretBody }, 400, 401, 404, 413, 415, 503),
      },
    },
    async (request) => {
      const overlap = request.body.overlap_seconds ?? SECRET_OVERLAP_SECONDS.default
      const { endpoint, secret } = await webhooks.rotateSecret(request.params.id, overlap, actorOf(request))
      return { ...webhookView(endpoint), secret }
    },
  )

  app.post(
    '/api/admin/webhooks/:id/test',
    {
      schema: {
        summary: 'Send a webhook an event of the type `webhook.test`',
        description: 'It is on its way within a second; the delivery that is answered tells what came of it.',
        params: PathId,
        response: answers({ 202: DeliveryBody }, 401, 404, 409, 503),
      },
    },
    async (request, reply) => {
      const queued = await webhooks.test(request.params.id, actorOf(request))
      return reply.code(202).send(deliveryView(await deliveries.get(queued.deliveryId)))
    },
  )

  app.get(
    '/api/admin/webhooks/:id/deliveries',
    {
      schema: {
        summary: 'What was sent to a webhook, the newest first',
        params: PathId,
        querystring: Type.Object(
          {
            ...pageQuery(Type.String({ pattern: '^whd_[0-9a-f]{32}$' }), DELIVERIES_PAGE_MAX).properties,
            state: Type.Optional(Type.Enum(deliveryStates)),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: listOf(DeliveryBody, Type.String()) }, 400, 401, 404, 503),
      },
    },
    async (request) => {
      const { limit = DELIVERIES_PAGE_MAX, ...rest } = request.query
      const page = await deliveries.list(request.params.id, { ...rest, limit })
      const last = page.deliveries.at(-1)
      return {
        object: 'list' as const,
        data: page.deliveries.map(deliveryView),
        has_more: page.hasMore,
        next_after: last === undefined ? null : deliveryId(last.id),
      }
    },
  )

  app.post(
    '/api/admin/webhook-deliveries/:id/resend',
    {
      schema: {
        summary: 'Send an event again, under the id that it had',
        params: PathId,
        response: answers({ 202: DeliveryBody }, 401, 404, 409, 503),
      },
    },
    async (request, reply) => {
      const delivery = await deliveries.resend(request.params.id, actorOf(request))
      return reply.code(202).send(deliveryView(delivery))
    },
  )

  app.get(
    '/api/admin/events',
    {
      schema: {
        summary: 'What webhooks are told of, of the last 30 days, the newest first',
        querystring: Type.Object(
          { ...pageQuery(Cursor, EVENTS_PAGE_MAX).properties, type: Type.Optional(Type.String({ maxLength: 100 })) },
          { additionalProperties: false },
        ),
        response: answers({ 200: listOf(EventBody, Type.String()) }, 400, 401, 503),
      },
    },
    async (request) => {
      const { limit = EVENTS_PAGE_MAX, ...rest } = request.query
      const page = await events.list({ ...rest, limit })
      const data = page.events.map(eventView)
      return { object: 'list' as const, data, has_more: page.hasMore, next_after: data.at(-1)?.id ?? null }
    },
  )
}
