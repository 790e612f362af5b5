import { Type } from 'typebox'
import type { ReceiptKeys } from '#billing/receipt-keys.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, DocumentBundleBody } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

const CACHEABLE = { 'cache-control': 'public, max-age=300', 'access-control-allow-origin': '*' }

/** The fixed start of an Ed25519 public key as SubjectPublicKeyInfo (RFC 8410 section 4); 32 raw bytes follow. */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

export interface ReceiptKeyFormsDeps {
  receiptKeys: () => Promise<ReceiptKeys>
  /** Keys of llmring-server whose receipts were taken over; Base64url of 32 bytes. */
  legacyReceiptKeys: () => Promise<readonly { key_id: string; public_key: string }[]>
  /** The newest list that the root key signed, as the text of a bundle. */
  keyManifest: () => Promise<string | undefined>
}

/** The public keys in the other forms that tools expect, and the list that the root key signed. */
export function receiptKeyFormRoutes(app: HttpInstance, deps: ReceiptKeyFormsDeps) {
  app.get(
    '/receipts/key-manifest.json',
    {
      schema: {
        summary: 'The list of receipt keys that the root key signed, as a bundle that verifies offline',
        security: [],
        response: answers({ 200: DocumentBundleBody }, 404, 503),
      },
    },
    async (_request, reply) => {
      const bundle = await deps.keyManifest()
      if (bundle === undefined)
        throw new AppError('not_found', {
          message: 'No list of keys was signed by a root key yet. docs/key-rotation.md says how.',
        })
      return reply.headers(CACHEABLE).type('application/json; charset=utf-8').send(bundle)
    },
  )

  for (const base of ['/receipts', '/api/v1/receipts']) {
    app.get(
      `${base}/public-key.pem`,
      {
        schema: {
          summary: 'The key that signs receipts now, as PEM',
          security: [],
          response: answers(
            { 200: { description: 'PEM', content: { 'application/x-pem-file': { schema: Type.String() } } } },
            503,
          ),
        },
      },
      async (_request, reply) => {
        const key = await currentKey(deps)
        return reply.headers(CACHEABLE).type('application/x-pem-file').send(toPem(key.public_key))
      },
    )

    app.get(
      `${base}/public-key.jwk`,
      {
        schema: {
          summary: 'The key that signs receipts now, as JWK',
          security: [],
          response: answers(
            {
              200: Type.Object({
                kty: Type.Literal('OKP'),
                crv: Type.Literal('Ed25519'),
                x: Type.String(),
                kid: Type.String(),
              }),
            },
            503,
          ),
        },
      },
      async (_request, reply) => {
        const { key_id, public_key } = await currentKey(deps)
        return reply
          .headers(CACHEABLE)
          .send({ kty: 'OKP' as const, crv: 'Ed25519' as const, x: public_key, kid: key_id })
      },
    )
  }

  const LegacyKey = Type.Object({
    key_id: Type.String(),
    public_key: Type.String({ description: 'Base64url of the 32 raw bytes, without padding.' }),
    algorithm: Type.Literal('Ed25519'),
    format: Type.Literal('base64url'),
  })
  app.get(
    '/api/v1/receipts/public-keys.json',
    {
      schema: {
        summary:
          'Every public key, as llmring-server lists them: with those of receipts that were taken over from there',
        security: [],
        response: answers({ 200: Type.Object({ keys: Type.Array(LegacyKey), current_key_id: Type.String() }) }, 503),
      },
    },
    async (_request, reply) => {
      const [{ keys, current_key_id }, legacy] = await Promise.all([deps.receiptKeys(), deps.legacyReceiptKeys()])
      const listed = [...keys, ...legacy].map(({ key_id, public_key }) => ({
        key_id,
        public_key,
        algorithm: 'Ed25519' as const,
        format: 'base64url' as const,
      }))
      return reply.headers(CACHEABLE).send({ keys: listed, current_key_id })
    },
  )
}

async function currentKey({ receiptKeys }: Pick<ReceiptKeyFormsDeps, 'receiptKeys'>) {
  const { keys, current_key_id } = await receiptKeys()
  const key = keys.find((candidate) => candidate.key_id === current_key_id)
  if (key === undefined) throw new AppError('not_found')
  return key
}

function toPem(base64url: string): string {
  const spki = Buffer.concat([spkiPrefix, Buffer.from(base64url, 'base64url')])
  return `-----BEGIN PUBLIC KEY-----\n${spki.toString('base64')}\n-----END PUBLIC KEY-----\n`
}
