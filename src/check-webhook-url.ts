import { createGuardedFetch } from '#adapters/guarded-fetch.ts'
import type { Config } from './config.ts'

/** Throws GuardError for an address that webhooks are not sent to; what its name leads to is checked as they are sent. */
export function checkWebhookUrl(config: Config, url: string): void {
  const guard = createGuardedFetch({
    hostSuffixes: 'any',
    insecureHosts: config.WEBHOOK_INSECURE_HOSTS ?? [],
    connectTimeoutMs: 1_000,
    connectionsMax: 1,
  })
  guard.route(url)
  void guard.close()
}
