import { createHmac } from 'node:crypto'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { limitsOf, type ModelLimits } from '#domain/allowed-models.ts'
import type { Grants } from '#domain/grants.ts'
import { type CallerLimits, callerLimits } from '#domain/limits/rate-limit.ts'
import { createProjects } from '#domain/projects.ts'
import type { Settings } from '#domain/settings.ts'
import { assert } from '#lib/assert.ts'
import type { Secret } from '#lib/secret.ts'
import { AppError } from '#src/errors.ts'
import type { User } from './users.ts'

/** The project that holds a person's wallet and keys. */
export interface PersonalProject extends ModelLimits, CallerLimits {
  projectId: string
  walletId: bigint
  account: string
}

export interface PersonalProjectsOptions {
  db: Db
  grants: Grants
  settings: () => Settings
  /** What one Flux is worth in nano-dollars. */
  fluxNanousd: bigint
  /** Keys the digests of addresses: the same on every gateway, and for ever, or people are welcomed twice. Without it nobody is. */
  digestKey: Secret | undefined
}

/**
 * Opens the wallets of people. A person's first wallet starts with INITIAL_USER_FLUX, as it is set at that moment; whoever
 * comes back with the same address after deleting the account gets a new wallet and no second gift.
 */
export function createPersonalProjects(options: PersonalProjectsOptions) {
  const { db, grants } = options

  /** Only an address that was shown to be the person's is welcomed, or anybody could be welcomed under any. */
  async function welcome(tx: Tx, user: User, projectId: string): Promise<void> {
    const flux = options.settings().get('INITIAL_USER_FLUX')
    if (!user.emailVerified) return
    await tx.query('update project set welcomed = true where id = $1', [projectId])
    if (flux === 0 || options.digestKey === undefined) return
    const digest = createHmac('sha256', options.digestKey.reveal()).update(user.email).digest()
    const { rowCount } = await tx.query(
      'insert into welcomed_person (email_digest) values ($1) on conflict do nothing',
      [digest],
    )
    if (rowCount === 0) return
    await grants.grantIn(tx, {
      projectId,
      amountNanos: BigInt(flux) * options.fluxNanousd,
      reason: 'Initial grant',
      idempotencyKey: 'initial',
      actor: 'system',
      kind: 'welcome',
    })
  }

  return {
    /**
     * The person's project, opened at the first call; wallet and gift are one commit, and the gift waits for a verified address.
     * Throws AppError: config_unavailable; not_found for who has left meanwhile.
     */
    async open(user: User): Promise<PersonalProject> {
      const existing = await find(db, user.id)
      if (existing !== undefined && isDone(existing, user)) return existing.project
      return transaction(db, async (tx) => {
        // Two first calls of one person open one wallet, and welcome it once.
        const { rowCount } = await tx.query('select 1 from auth_user where id = $1 for update', [user.id])
        if (rowCount === 0) throw new AppError('not_found', { message: 'This account is gone.' })
        const raced = await find(tx, user.id)
        if (raced !== undefined && isDone(raced, user)) return raced.project
        if (raced !== undefined) {
          await welcome(tx, user, raced.project.projectId)
          return raced.project
        }
        const { id } = await createProjects({ db: tx }).create({ name: `user:${user.id}` })
        await tx.query('update project set personal = true, user_id = $2 where id = $1', [id, user.id])
        await welcome(tx, user, id)
        const opened = await find(tx, user.id)
        assert(opened !== undefined, 'a project that was just made is found')
        return opened.project
      })
    },
  }
}

export type PersonalProjects = ReturnType<typeof createPersonalProjects>

interface Found {
  project: PersonalProject
  welcomed: boolean
}

/** Nothing is left to do before the address is verified, or once it was decided what the wallet begins with. */
function isDone({ welcomed }: Found, { emailVerified }: User): boolean {
  return welcomed || !emailVerified
}

async function find(db: Db | Tx, userId: string): Promise<Found | undefined> {
  const { rows } = await db.query<
    Omit<PersonalProject, 'allowedModels' | 'rateLimits'> & {
      models: string[] | null
      rates: string | null
      welcomed: boolean
    }
  >(
    `select p.id as "projectId", p.wallet_id as "walletId", w.account, p.allowed_models as models, p.rate_limits as rates,
            p.welcomed
     from project p join wallet w on w.id = p.wallet_id where p.user_id = $1`,
    [userId],
  )
  const [row] = rows
  if (row === undefined) return undefined
  const { models, rates, welcomed, ...project } = row
  return { project: { ...project, ...limitsOf(models), ...callerLimits(rates, null) }, welcomed }
}
