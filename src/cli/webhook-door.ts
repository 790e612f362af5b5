import type { Db } from '#db/pool.ts'
import { createWebhookEndpoints, type WebhookEndpoints } from '#domain/webhooks/endpoints.ts'
import { createWebhookSecrets } from '#domain/webhooks/webhook-secrets.ts'
import { withDatabase } from './books.ts'
import type { CliDeps } from './command.ts'

/** Who acts from the command line, as the trail says it. */
export const ACTOR = { actor: 'cli' } as const

/** Runs `work` on the webhooks of the configured database. */
export async function withWebhooks<T>(
  deps: CliDeps,
  work: (webhooks: WebhookEndpoints, db: Db) => Promise<T>,
): Promise<T> {
  const secrets = createWebhookSecrets(await deps.envelopeKeys())
  return withDatabase(deps, (db) =>
    work(createWebhookEndpoints({ db, secrets, checkUrl: (url) => deps.checkWebhookUrl(url) }), db),
  )
}
