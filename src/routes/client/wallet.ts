import { walletView } from '#domain/views.ts'
import type { Wallets } from '#domain/wallets.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, WalletBody } from '#routes/schemas.ts'

export function walletRoutes(app: HttpInstance, deps: { wallets: Wallets; fluxNanousd: bigint }) {
  app.get(
    '/v1/wallet',
    {
      schema: {
        summary: "Your project's balance",
        response: answers({ 200: WalletBody }, 401, 403, 503),
      },
    },
    async (request) => walletView(await deps.wallets.ofProject(clientKey(request).projectId), deps.fluxNanousd),
  )
}
