import { randomBytes } from 'node:crypto'
import type { Db } from '#db/pool.ts'
import { createFluxGrants } from '#domain/flux/flux-grants.ts'
import { createFluxHistory } from '#domain/flux/flux-history.ts'
import { createLowBalances } from '#domain/flux/low-balance.ts'
import { createGrantReversals } from '#domain/flux/reverse-grants.ts'
import { createGrants, type Grants } from '#domain/grants.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import type { createKeys } from '#domain/keys.ts'
import { createMemberProjects } from '#domain/members/member-projects.ts'
import { createPaymentLists } from '#domain/payments/payment-lists.ts'
import { createPersonalProjects } from '#domain/people/personal-project.ts'
import { createSignedIn } from '#domain/people/signed-in.ts'
import { createUsers, type User } from '#domain/people/users.ts'
import { type Scope, scopeSet, scopes } from '#domain/scopes.ts'
import { createSettings } from '#domain/settings.ts'
import { Secret } from '#lib/secret.ts'

export const DIGEST_KEY = new Secret('the digest key of the tests')

/** A user as signing up leaves it, without the sign-in. */
export async function insertUser(db: Db, email: string, options: { verified?: boolean } = {}): Promise<User> {
  const id = `usr_${randomBytes(10).toString('hex')}`
  await db.query('insert into auth_user (id, name, email, email_verified) values ($1, $2, $3, $4)', [
    id,
    'A Person',
    email.toLowerCase(),
    options.verified ?? true,
  ])
  return createUsers({ db }).get(id)
}

type TestSlot = { current(): { slot: number; epoch: bigint } }

function personalProjects(db: Db, grants: Grants, initialFlux: number) {
  return createPersonalProjects({
    ...{ db, grants, fluxNanousd: 1_000_000n, digestKey: DIGEST_KEY },
    settings: () => createSettings(new Map([['INITIAL_USER_FLUX', { value: initialFlux }]])),
  })
}

/** What the routes of people are served with. */
export function peopleDeps(db: Db, slot: TestSlot) {
  const grants = createGrants({ db, slot })
  return {
    fluxHistory: createFluxHistory({ db }),
    fluxGrants: createFluxGrants({
      ...{ db, grants, users: createUsers({ db }), fluxNanousd: 1_000_000n },
      openProject: personalProjects(db, grants, 0).open,
    }),
    grantReversals: createGrantReversals({ db, slot }),
    lowBalances: createLowBalances({ db, sendMail: async () => undefined, fluxNanousd: 1_000_000n }),
    paymentLists: createPaymentLists({ db }),
    payments: undefined,
    trusts: () => false,
  }
}

/** People by tokens of sessions, which openSession makes. */
export function sessions(db: Db, slot: TestSlot) {
  const signedIn = createSignedIn({
    users: createUsers({ db }),
    personalProjects: personalProjects(db, createGrants({ db, slot }), 0),
    async findUserId({ text }) {
      const { rows } = await db.query<{ id: string }>(
        'select user_id as id from auth_session where token = $1 and expires_at > now()',
        [text],
      )
      return rows[0]?.id
    },
  })
  return { signedIn, trusts: () => false, memberOf: createMemberProjects({ db }).callerOf }
}

/** Signs somebody in, as Better Auth would. Returns the token. */
export async function openSession(db: Db, userId: string): Promise<string> {
  const token = randomBytes(16).toString('hex')
  await db.query(
    `insert into auth_session (id, token, user_id, expires_at, created_at, updated_at)
     values ($1, $2, $3, now() + interval '1 hour', now(), now())`,
    [randomBytes(8).toString('hex'), token, userId],
  )
  return token
}

/** A person with a wallet, and a key of it that has these scopes. */
export async function openPerson(
  deps: { db: Db; grants: Grants; keys: ReturnType<typeof createKeys> },
  email: string,
  options: { nanos?: bigint; initialFlux?: number; scopes?: readonly Scope[] } = {},
): Promise<AuthenticatedKey & { userId: string; secret: string; user: User }> {
  const { db, grants, keys } = deps
  const { nanos = 0n, initialFlux = 0, scopes: granted = scopes } = options
  const user = await insertUser(db, email)
  const project = await personalProjects(db, grants, initialFlux).open(user)
  const { key, secret } = await keys.create({ projectId: project.projectId, name: 'mine', scopes: granted })
  if (nanos > 0n)
    await grants.grant({
      ...{ projectId: project.projectId, amountNanos: nanos, reason: 'a test', actor: 'test', idempotencyKey: 'open' },
    })
  return { ...project, keyId: key.id, scopes: scopeSet(key.scopes), personal: true, userId: user.id, secret, user }
}
