import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type RunningServer, spawnServer } from './spawn-server.ts'

/** What a variant's server is started with. */
export interface VariantContext {
  simulatorUrl: string
  /** A fresh database of this variant. */
  createDatabase(name: string): Promise<string>
  /** For data directories. */
  folder: string
  /** Processors to run on; undefined where nothing can be pinned. */
  processors: string | undefined
  /** A folder for CPU profiles; undefined without. */
  profile: string | undefined
}

export interface Variant {
  name: string
  /** A column's words. */
  title: string
  /** Undefined when it is not installed. */
  start(context: VariantContext): Promise<VariantServer | undefined>
}

export interface VariantServer extends RunningServer {
  /** Where its charges are written; undefined for a variant that writes none. */
  databaseUrl?: string
  /** What every request must carry to get through. */
  headers?: Record<string, string>
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PEER = fileURLToPath(new URL('peers/node_modules/@portkey-ai/gateway/build/start-server.js', import.meta.url))
const ADMIN_KEY = 'fg_admin_for_benchmarks_only'
const SIGNING_KEY = Buffer.alloc(32, 7).toString('base64')

export const variants: readonly Variant[] = [
  {
    name: 'direct',
    title: 'the simulator itself',
    start: async ({ simulatorUrl }) => ({ url: simulatorUrl, pid: undefined, stop: async () => ({}) }),
  },
  {
    name: 'floor',
    title: 'bare proxy',
    start: (context) =>
      spawnServer({
        args: [...profiling(context), join(ROOT, 'bench/server.ts'), 'floor'],
        env: { FLUXGATE_SIM_URL: context.simulatorUrl, ...profileEnv('floor', context) },
        processors: context.processors,
      }),
  },
  { name: 'auth', title: '+ auth', start: (context) => startBare('auth', context) },
  { name: 'ledger', title: '+ hold and settle', start: (context) => startBare('ledger', context) },
  { name: 'full', title: '+ receipts: all of it', start: (context) => startGateway('full', context) },
  {
    name: 'portkey',
    title: '@portkey-ai/gateway',
    async start(context) {
      const { simulatorUrl, processors } = context
      if (!existsSync(PEER)) return undefined
      const port = await freePort()
      const server = await spawnServer({
        args: [...profiling(context), PEER, `--port=${port}`, '--headless'],
        env: { NODE_ENV: 'production', ...profileEnv('portkey', context) },
        processors,
        url: `http://127.0.0.1:${port}`,
      })
      return {
        ...server,
        headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${simulatorUrl}/v1` },
      }
    },
  },
]

async function startBare(role: 'auth' | 'ledger', context: VariantContext): Promise<VariantServer> {
  const databaseUrl = await context.createDatabase(role)
  const server = await spawnServer({
    args: [...profiling(context), join(ROOT, 'bench/server.ts'), role],
    env: gatewayEnv(role, databaseUrl, context),
    processors: context.processors,
  })
  return role === 'auth' ? server : { ...server, databaseUrl }
}

/** The gateway as it is shipped: `node src/main.ts api`, logging at its default level to nowhere. */
export async function startGateway(
  name: string,
  context: VariantContext,
  database?: string,
): Promise<VariantServer & { databaseUrl: string }> {
  const databaseUrl = database ?? (await context.createDatabase(name))
  const port = await freePort()
  const server = await spawnServer({
    args: [...profiling(context), join(ROOT, 'src/main.ts'), 'api'],
    env: { ...gatewayEnv(name, databaseUrl, context), PORT: String(port) },
    processors: context.processors,
    url: `http://127.0.0.1:${port}`,
  })
  return { ...server, databaseUrl }
}

function gatewayEnv(name: string, databaseUrl: string, context: VariantContext): Record<string, string> {
  const dataDir = join(context.folder, name)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  return {
    DATABASE_URL: databaseUrl,
    DATA_DIR: dataDir,
    FLUXGATE_SIM_URL: context.simulatorUrl,
    FLUXGATE_ADMIN_KEY: ADMIN_KEY,
    RECEIPT_SIGNING_KEY: SIGNING_KEY,
    LOG_SIGNING_KEY: SIGNING_KEY,
    LLM_ROUTER_MASTER_KEY: SIGNING_KEY,
    ...profileEnv(name, context),
  }
}

function profiling({ profile }: VariantContext): string[] {
  return profile === undefined ? [] : ['--import', join(ROOT, 'bench/profile-hook.ts')]
}

function profileEnv(name: string, { profile }: VariantContext): Record<string, string> {
  return profile === undefined ? {} : { BENCH_PROFILE: join(profile, name) }
}
