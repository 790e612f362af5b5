import type { App } from './app.ts'
import type { Config } from './config.ts'

const PROJECT = 'default'
const NANOS_PER_USD = 1_000_000_000n

/** What the first start shows and no later one can: a new client key. */
export interface FirstKey {
  /** Undefined when keys exist already: they are stored as hashes and cannot be shown again. */
  secret: string | undefined
  pinned: boolean
}

/**
 * Makes the project `default` usable at the first start: a client key and, where one is configured, a welcome grant. Safe
 * to repeat: the grant has a fixed key, a pinned client key finds itself.
 */
export async function welcome(config: Config, app: Pick<App, 'projects' | 'keys' | 'grants'>): Promise<FirstKey> {
  const project = await app.projects.ensure(PROJECT)
  if (config.welcomeGrantUsd > 0)
    await app.grants.grant({
      projectId: project.id,
      amountNanos: BigInt(config.welcomeGrantUsd) * NANOS_PER_USD,
      reason: 'welcome',
      idempotencyKey: 'welcome',
      actor: 'gateway',
      kind: 'welcome',
    })
  const pinned = config.FLUXGATE_API_KEY
  if (pinned !== undefined) {
    await app.keys.pin({ projectId: project.id, name: 'pinned', secret: pinned.reveal() })
    return { secret: pinned.reveal(), pinned: true }
  }
  if (!config.embedded) return { secret: undefined, pinned: false }
  const { keys } = await app.keys.list(project.id, { limit: 1 })
  if (keys.length > 0) return { secret: undefined, pinned: false }
  const { secret } = await app.keys.create({ projectId: project.id, name: 'first' })
  return { secret, pinned: false }
}
