import { type Static, Type } from 'typebox'
import { fluxBalanceView } from '#domain/flux/flux-views.ts'
import { USERS_PAGE_MAX, type UserAdmin } from '#domain/people/user-admin.ts'
import type { User } from '#domain/people/users.ts'
import { walletView } from '#domain/views.ts'
import type { Wallets } from '#domain/wallets.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { Role } from '#routes/person/projects.ts'
import { answers, Cursor, listOf, Reason, Time, WalletBody } from '#routes/schemas.ts'

const UserPath = Type.Object({ id: Type.String({ pattern: '^[0-9A-Za-z_-]{1,64}$' }) })
const TimeOrNull = Type.Union([Time, Type.Null()])
const userMembers = {
  object: Type.Literal('user'),
  id: Type.String(),
  email: Type.String(),
  email_verified: Type.Boolean(),
  name: Type.String(),
  banned: Type.Boolean({ description: 'As of now: a ban that is over is none.' }),
  ban_reason: Type.Union([Type.String(), Type.Null()]),
  ban_expires_at: TimeOrNull,
  created_at: Time,
}
const UserBody = Type.Object(userMembers)
const UserDetailsBody = Type.Object({
  ...userMembers,
  sessions: Type.Integer({ description: 'That are not over.' }),
  projects: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), personal: Type.Boolean(), role: Role })),
  wallet: Type.Union([WalletBody, Type.Null()], { description: 'Null before it is opened, at the first call.' }),
  flux: Type.Union([Type.Integer(), Type.Null()], { description: 'Whole Flux that can be spent.' }),
})

/** People, for operators. */
export function userRoutes(app: HttpInstance, deps: { userAdmin: UserAdmin; wallets: Wallets; fluxNanousd: bigint }) {
  const { userAdmin } = deps

  app.get(
    '/api/admin/users',
    {
      schema: {
        summary: 'People, the newest first',
        querystring: Type.Object(
          {
            query: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 254,
                pattern: '^[^\\u0000]*$',
                description: 'An id, or how an address begins, in any case of letters.',
              }),
            ),
            after: Type.Optional(Cursor),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: USERS_PAGE_MAX })),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: listOf(UserBody, Type.String()) }, 400, 401, 503),
      },
    },
    async (request) => {
      const { limit = USERS_PAGE_MAX, ...filter } = request.query
      const { users, next } = await userAdmin.list({ ...filter, limit })
      return { object: 'list' as const, data: users.map(view), has_more: next !== null, next_after: next }
    },
  )

  app.get(
    '/api/admin/users/:id',
    {
      schema: {
        summary: 'A person: balance, sessions, projects',
        params: UserPath,
        response: answers({ 200: UserDetailsBody }, 401, 404, 503),
      },
    },
    async (request) => {
      const user = await userAdmin.get(request.params.id)
      const own = user.projects.find(({ personal }) => personal)
      const wallet = own === undefined ? undefined : await deps.wallets.ofProject(own.id)
      return {
        ...view(user),
        sessions: user.sessions,
        projects: user.projects,
        wallet: wallet === undefined ? null : walletView(wallet, deps.fluxNanousd),
        flux: wallet === undefined ? null : fluxBalanceView(user.id, wallet, deps.fluxNanousd).flux,
      }
    },
  )

  app.post(
    '/api/admin/users/:id/ban',
    {
      schema: {
        summary: 'Ban a person: sessions end, personal keys are refused, everywhere within a second',
        params: UserPath,
        body: Type.Object({ reason: Reason, expires_at: Type.Optional(Time) }, { additionalProperties: false }),
        response: answers({ 200: UserBody }, 400, 401, 403, 404, 413, 415, 503),
      },
    },
    async (request) => {
      const { reason, expires_at } = request.body
      const ban = { reason, ...(expires_at !== undefined && { expiresAt: new Date(expires_at) }) }
      return view(await userAdmin.ban(request.params.id, ban, actorOf(request)))
    },
  )

  app.post(
    '/api/admin/users/:id/unban',
    {
      schema: {
        summary: 'End a ban; signing in begins new sessions',
        params: UserPath,
        response: answers({ 200: UserBody }, 401, 404, 503),
      },
    },
    async (request) => view(await userAdmin.unban(request.params.id, actorOf(request))),
  )

  app.post(
    '/api/admin/users/:id/sign-out',
    {
      schema: {
        summary: 'End every session of a person, everywhere within a second; keys go on',
        params: UserPath,
        response: answers(
          { 200: Type.Object({ object: Type.Literal('sign_out'), sessions: Type.Integer({ description: 'Ended.' }) }) },
          ...[401, 404, 503],
        ),
      },
    },
    async (request) => ({
      object: 'sign_out' as const,
      sessions: await userAdmin.signOut(request.params.id, actorOf(request)),
    }),
  )
}

function view({
  createdAt,
  emailVerified,
  banned,
  banReason,
  banExpiresAt,
  id,
  email,
  name,
}: User): Static<typeof UserBody> {
  return {
    object: 'user',
    ...{ id, email, email_verified: emailVerified, name, banned },
    ban_reason: banned ? banReason : null,
    ban_expires_at: banned ? (banExpiresAt?.toISOString() ?? null) : null,
    created_at: createdAt.toISOString(),
  }
}
