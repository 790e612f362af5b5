import type { HttpInstance } from '#routes/http-instance.ts'
import { AppError } from '#src/errors.ts'

/** Where llmring-server kept aliases, and where its first client sent them. Says where they live now, whatever is asked. */
export function aliasRoutes(app: HttpInstance) {
  for (const path of ['/api/v1/aliases', '/api/v1/sync']) {
    for (const url of [path, `${path}/*`]) {
      app.all(
        url,
        {
          schema: { hide: true },
          // Before a body is read: none is wanted.
          async onRequest() {
            throw new AppError('aliases_are_local')
          },
        },
        async () => undefined,
      )
    }
  }
}
