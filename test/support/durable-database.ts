import { startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
import { createDataDir, removeDataDir } from '#test/support/gateway-process.ts'

/** A database of the caller's own that flushes: a gateway refuses the server of the suite, which may not. */
export async function startDurableDatabase() {
  const dataDir = await createDataDir()
  const server = await startEmbeddedPostgres({ dataDir, log: () => undefined })
  return {
    url: server.url,
    connection: server.connection,
    async close(): Promise<void> {
      await server.stop()
      await removeDataDir(dataDir)
    },
  }
}

export type DurableDatabase = Awaited<ReturnType<typeof startDurableDatabase>>
