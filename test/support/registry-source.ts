import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

type Answer = (req: IncomingMessage, res: ServerResponse) => void

/** A published registry on this machine, whose answers a test chooses by path. */
export async function createRegistrySite() {
  const answers = new Map<string, Answer>()
  const asked: { path: string; etag: string | undefined }[] = []
  const server = createServer((req, res) => {
    const path = req.url ?? '/'
    asked.push({ path, etag: req.headers['if-none-match'] })
    const answer = answers.get(path)
    if (answer !== undefined) answer(req, res)
    else res.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}`,
    asked,

    answer(path: string, answer: Answer): void {
      answers.set(path, answer)
    },

    /** A file with a tag, and 304 for those who have it. */
    publish(provider: string, file: unknown, etag = '"one"'): void {
      answers.set(`/registry/${provider}/models.json`, (req, res) => {
        if (req.headers['if-none-match'] === etag) res.writeHead(304, { etag }).end()
        else res.writeHead(200, { 'content-type': 'application/json', etag }).end(JSON.stringify(file))
      })
    },

    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type RegistrySite = Awaited<ReturnType<typeof createRegistrySite>>

/** A provider's file as llmring publishes it. */
export function registryFile(provider: string, models: Record<string, Record<string, unknown>>, version = 8) {
  const rows = Object.entries(models).map(([name, row]) => [
    `${provider}:${name}`,
    { provider, model_name: name, display_name: name, ...row },
  ])
  return { provider, version, updated_at: '2026-11-25T10:00:00.123456', models: Object.fromEntries(rows) }
}
