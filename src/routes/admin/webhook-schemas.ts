import { Type } from 'typebox'
import { operatorEventTypes } from '#domain/operator-events.ts'
import { deliveryStates } from '#domain/webhooks/deliveries.ts'
import { URL_CHARS_MAX } from '#domain/webhooks/endpoints.ts'
import { Description, Time } from '#routes/schemas.ts'

const TimeOrNull = Type.Union([Time, Type.Null()])
const TextOrNull = Type.Union([Type.String(), Type.Null()])
const CountOrNull = Type.Union([Type.Integer(), Type.Null()])
const EventType = Type.Enum([...operatorEventTypes])
const EventTypes = Type.Union(
  [Type.Array(EventType, { minItems: 1, maxItems: operatorEventTypes.length, uniqueItems: true }), Type.Null()],
  { description: 'What it is told of; null: everything, what later releases add too.' },
)

const changeable = {
  description: Type.Optional(Type.Union([Description, Type.Null()])),
  event_types: Type.Optional(EventTypes),
}
const Url = Type.String({
  minLength: 1,
  maxLength: URL_CHARS_MAX,
  description: 'https, with a name that leads to public addresses.',
  examples: ['https://hooks.example.com/fluxgate'],
})

export const NewWebhook = Type.Object({ url: Url, ...changeable }, { additionalProperties: false })

export const WebhookChanges = Type.Object(
  { url: Type.Optional(Url), ...changeable, enabled: Type.Optional(Type.Boolean()) },
  { additionalProperties: false, minProperties: 1 },
)

const webhookMembers = {
  object: Type.Literal('webhook'),
  id: Type.String(),
  url: Type.String(),
  description: TextOrNull,
  event_types: Type.Union([Type.Array(Type.String()), Type.Null()]),
  enabled: Type.Boolean(),
  disabled_reason: Type.Union([Type.String(), Type.Null()], {
    description: 'Why the gateway disabled it: `gone` after a 410, `failing` after 5 days without a success.',
  }),
  failing_since: TimeOrNull,
  previous_secret_until: TimeOrNull,
  created_at: Time,
}

export const WebhookBody = Type.Object(webhookMembers)
export const WebhookWithSecretBody = Type.Object({
  ...webhookMembers,
  secret: Type.String({ description: 'Shown here and never again.' }),
})

export const DeliveryBody = Type.Object({
  object: Type.Literal('webhook_delivery'),
  id: Type.String(),
  webhook_id: Type.String(),
  event_id: Type.String({ description: 'What the receiver gets as `webhook-id`.' }),
  type: Type.String(),
  state: Type.Enum(deliveryStates),
  attempts: Type.Integer({ minimum: 0 }),
  next_attempt_at: TimeOrNull,
  last_status: CountOrNull,
  last_error: TextOrNull,
  created_at: Time,
  delivered_at: TimeOrNull,
  attempt_list: Type.Array(
    Type.Object({
      number: Type.Integer(),
      at: Time,
      status: CountOrNull,
      error: TextOrNull,
      took_ms: Type.Integer(),
    }),
    { description: 'The last 20 of them, the newest first.' },
  ),
})

export const EventBody = Type.Object({
  object: Type.Literal('event'),
  id: Type.String(),
  type: Type.String(),
  timestamp: Time,
  data: Type.Object({}, { additionalProperties: true, description: 'docs/webhooks.md lists the members by type.' }),
})
