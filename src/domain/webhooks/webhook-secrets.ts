import { type EnvelopeKeys, openEnvelope, sealEnvelope } from '#lib/envelope.ts'

/** No model can have this name, so that no envelope of the router config opens here. */
const PLACE = 'operator|webhook'

/** Seals the secrets of endpoints as provider keys are sealed, each for its endpoint. */
export function createWebhookSecrets(keys: EnvelopeKeys) {
  const binding = (endpointId: string) => ({ modelName: PLACE, keyEntryId: endpointId })
  return {
    seal: (endpointId: string, secret: string): string =>
      sealEnvelope(keys.current, binding(endpointId), Buffer.from(secret, 'utf8')),

    /** Throws EnvelopeError. */
    open(endpointId: string, sealed: string): string {
      const { plaintext } = openEnvelope(keys, binding(endpointId), sealed)
      const secret = plaintext.toString('utf8')
      plaintext.fill(0)
      return secret
    },

    /** The same sealed with the current master key; undefined when it is so already. Throws EnvelopeError. */
    reseal(endpointId: string, sealed: string): string | undefined {
      const { plaintext, openedWith } = openEnvelope(keys, binding(endpointId), sealed)
      if (openedWith === 'previous') return sealEnvelope(keys.current, binding(endpointId), plaintext)
      plaintext.fill(0)
      return undefined
    },
  }
}

export type WebhookSecrets = ReturnType<typeof createWebhookSecrets>
