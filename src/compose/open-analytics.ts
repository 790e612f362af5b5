import { createPosthog } from '#adapters/posthog.ts'
import type { Capture } from '#domain/people/product-event.ts'
import type { Parts } from './parts.ts'

const EVERY_MS = 5_000
const HOST = 'https://us.i.posthog.com'

/** Events for PostHog, where the operator asks for them; undefined where not, so that nobody even makes them. */
export function openAnalytics({ config, log, opened }: Parts): Capture | undefined {
  if (config.POSTHOG_API_KEY === undefined) return undefined
  const posthog = createPosthog({
    ...{ apiKey: config.POSTHOG_API_KEY, host: config.POSTHOG_HOST ?? HOST, everyMs: EVERY_MS },
    onLost: (events, why) => log.warn({ events, why }, 'events for PostHog were lost'),
  })
  opened.defer(() => posthog.close())
  return posthog.capture
}
