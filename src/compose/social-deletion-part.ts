import type { SocialProvider } from '#adapters/better-auth.ts'
import type { Db } from '#db/pool.ts'
import type { DeletionPart } from '#domain/people/deletion.ts'
import type { Secret } from '#lib/secret.ts'
import type { Parts } from './parts.ts'

const TIMEOUT_MS = 5_000

interface Linked {
  provider: string
  accessToken: string | null
  refreshToken: string | null
}

/**
 * Takes back at Google, GitHub and Apple what the person has allowed. Whoever leaves is not kept for a provider that is away:
 * what could not be taken back is told to the operator.
 */
export function socialDeletionPart(
  { log }: Pick<Parts, 'log'>,
  deps: { db: Db; providers: readonly SocialProvider[]; secret: Secret; urls?: Record<SocialProvider['id'], string> },
): DeletionPart {
  return {
    name: 'social',
    priority: 15,
    async run({ id }) {
      const { rows } = await deps.db.query<Linked>(
        `select provider_id as provider, access_token as "accessToken", refresh_token as "refreshToken"
         from auth_account where user_id = $1 and provider_id <> 'credential' limit 20`,
        [id],
      )
      if (rows.length === 0) return
      // Better Auth takes long to load, and most people have no account elsewhere.
      const { createSocialGrants } = await import('#adapters/social-grants.ts')
      const grants = createSocialGrants({ ...deps, timeoutMs: TIMEOUT_MS })
      for (const linked of rows)
        await grants
          .revoke(linked)
          .catch((error: unknown) =>
            log.warn({ err: error, user: id, provider: linked.provider }, 'an authorisation could not be taken back'),
          )
    },
  }
}
