import { Type } from 'typebox'
import type { ReceiptKeys } from '#billing/receipt-keys.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers } from '#routes/schemas.ts'

export function receiptKeyRoutes(app: HttpInstance, deps: { receiptKeys: () => Promise<ReceiptKeys> }) {
  app.get(
    '/receipts/public-keys.json',
    {
      schema: {
        summary: 'The public keys that verify receipts, old ones included',
        security: [],
        response: answers(
          {
            200: Type.Object({
              current_key_id: Type.String(),
              keys: Type.Array(Type.Object({}, { additionalProperties: true })),
            }),
          },
          503,
        ),
      },
    },
    async (_request, reply) => {
      const document = await deps.receiptKeys()
      // Anyone may verify, from a page of any origin.
      return reply
        .headers({ 'cache-control': 'public, max-age=300', 'access-control-allow-origin': '*' })
        .type('application/json; charset=utf-8')
        .send(JSON.stringify(document))
    },
  )
}
