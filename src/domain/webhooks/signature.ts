import { createHmac, randomBytes } from 'node:crypto'

// Standard Webhooks 1.0: https://www.standardwebhooks.com

const SECRET_BYTES = 32
const PREFIX = 'whsec_'

/** A secret that an endpoint checks its messages with: `whsec_` and 32 random bytes in Base64. */
export function createWebhookSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64')
}

/** The headers of a message that is signed with each of the secrets, the first one first. */
export function signedHeaders(
  message: { id: string; sentAtSeconds: number; body: string },
  secrets: readonly string[],
): Record<string, string> {
  const { id, sentAtSeconds, body } = message
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
    return `v1,${createHmac('sha256', key).update(`${id}.${sentAtSeconds}.${body}`).digest('base64')}`
  })
  return {
    'webhook-id': id,
    'webhook-timestamp': String(sentAtSeconds),
    'webhook-signature': signatures.join(' '),
  }
}
