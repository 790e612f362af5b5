import { webhookId } from './deliverer.ts'
import { deliveryId, type WebhookDelivery } from './deliveries.ts'
import type { WebhookEndpoint } from './endpoints.ts'
import type { OperatorEvent } from './event-list.ts'

// How webhooks look in JSON, over HTTP and from the command line.

export function webhookView(endpoint: WebhookEndpoint) {
  return {
    object: 'webhook' as const,
    id: endpoint.id,
    url: endpoint.url,
    description: endpoint.description,
    event_types: endpoint.eventTypes,
    enabled: endpoint.enabled,
    disabled_reason: endpoint.disabledReason,
    failing_since: endpoint.failingSince?.toISOString() ?? null,
    previous_secret_until: endpoint.previousUntil?.toISOString() ?? null,
    created_at: endpoint.createdAt.toISOString(),
  }
}

export function deliveryView(delivery: WebhookDelivery) {
  const { state } = delivery
  return {
    object: 'webhook_delivery' as const,
    id: deliveryId(delivery.id),
    webhook_id: delivery.endpointId,
    event_id: webhookId(delivery.eventId),
    type: delivery.type,
    state,
    attempts: delivery.attempts,
    next_attempt_at: state === 'pending' ? delivery.nextAttemptAt.toISOString() : null,
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
    created_at: delivery.createdAt.toISOString(),
    delivered_at: delivery.deliveredAt?.toISOString() ?? null,
    attempt_list: delivery.attemptList.map(({ number, at, status, error, tookMs }) => ({
      ...{ number, at: new Date(at).toISOString(), status, error, took_ms: tookMs },
    })),
  }
}

export function eventView(event: OperatorEvent) {
  return {
    object: 'event' as const,
    id: webhookId(event.id),
    type: event.type,
    timestamp: event.at.toISOString(),
    data: JSON.parse(event.data) as Record<string, unknown>,
  }
}
