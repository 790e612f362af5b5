import { hash, randomBytes } from 'node:crypto'
import { type Db, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import type { Grants } from '#domain/grants.ts'
import type { PersonalProject } from '#domain/people/personal-project.ts'
import type { User, Users } from '#domain/people/users.ts'
import { REASON_CHARS_MAX, requireIdempotencyKey, requirePlainText } from '#domain/plain-text.ts'
import { lockWallets } from '#domain/wallets.ts'
import { assert } from '#lib/assert.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { AppError } from '#src/errors.ts'

export const RECIPIENTS_MAX = 10_000
export const GRANT_FLUX_MAX = 10_000
const CAMPAIGN_CHARS_MAX = 100
/** Wallets of one transaction. */
const CHUNK = 100
const SAMPLES = 5

export interface FluxGrantInput {
  description: string
  /** Whole Flux, for each person. */
  amount: number
  emails: readonly string[]
  campaign?: string | undefined
  expiresAt?: Date | undefined
  /** The same request under it is done once. One is made when it is missing: then every request is another one. */
  idempotencyKey?: string | undefined
  actor: string
}

type Skipped = 'duplicate_in_input' | 'not_found' | 'user_banned'

export interface FluxGrantPreview {
  totalEmails: number
  willGrant: number
  willSkip: { notFound: number; userDeleted: number; userBanned: number; duplicateInInput: number }
  totalFluxToIssue: number
  samples: { willGrant: string[]; notFound: string[]; userDeleted: string[] }
}

export interface FluxGrantOutcome {
  batchId: string
  idempotencyKey: string
  /** Everybody here had it before this request. */
  replayed: boolean
  summary: FluxGrantPreview
  granted: { email: string; userId: string; fluxTransactionId: string; balanceAfter: number; replayed: boolean }[]
  skipped: { email: string; reason: Skipped }[]
  failed: { email: string; userId: string; error: string }[]
}

export interface FluxGrantBatch {
  id: string
  idempotencyKey: string
  description: string
  campaign: string | null
  amountNanos: bigint
  expiresAt: Date | null
  actor: string
  recipients: number
  granted: bigint
  takenBack: bigint
  createdAt: Date
  completedAt: Date | null
}

export interface FluxGrantsOptions {
  db: Db
  grants: Grants
  users: Users
  /** Opens the wallet of somebody who has none yet. */
  openProject(user: User): Promise<PersonalProject>
  fluxNanousd: bigint
}

export const BATCHES_PAGE_MAX = 100

export function createFluxGrants(options: FluxGrantsOptions) {
  const { db, grants, users, openProject, fluxNanousd } = options

  /** Who is meant, in the order of the request. */
  async function resolve(emails: readonly string[]) {
    const unique = new Map<string, string>()
    const skipped: FluxGrantOutcome['skipped'] = []
    for (const email of emails) {
      const key = email.toLowerCase()
      if (unique.has(key)) skipped.push({ email, reason: 'duplicate_in_input' })
      else unique.set(key, email)
    }
    const found: { email: string; user: User }[] = []
    const keys = [...unique.keys()]
    for (let start = 0; start < keys.length; start += CHUNK) {
      const part = keys.slice(start, start + CHUNK)
      const known = await users.findByEmails(part)
      for (const key of part) {
        const email = unique.get(key) ?? key
        const user = known.get(key)
        if (user === undefined) skipped.push({ email, reason: 'not_found' })
        else if (user.banned) skipped.push({ email, reason: 'user_banned' })
        else found.push({ email, user })
      }
    }
    return { found, skipped }
  }

  function previewOf(input: FluxGrantInput, who: Awaited<ReturnType<typeof resolve>>): FluxGrantPreview {
    const of = (reason: Skipped) => who.skipped.filter((one) => one.reason === reason)
    return {
      totalEmails: input.emails.length,
      willGrant: who.found.length,
      willSkip: {
        notFound: of('not_found').length,
        // An account that was deleted is gone, address and all: it is not found.
        userDeleted: 0,
        userBanned: of('user_banned').length,
        duplicateInInput: of('duplicate_in_input').length,
      },
      totalFluxToIssue: who.found.length * input.amount,
      samples: {
        willGrant: who.found.slice(0, SAMPLES).map(({ email }) => email),
        notFound: of('not_found')
          .slice(0, SAMPLES)
          .map(({ email }) => email),
        userDeleted: [],
      },
    }
  }

  /** The record of this request; the first under its key makes it. Throws AppError idempotency_mismatch. */
  async function openBatch(input: FluxGrantInput, key: string): Promise<{ id: string; replayed: boolean }> {
    const bodyHash = hashOf(input)
    const id = `fgb_${randomBytes(16).toString('hex')}`
    const nanos = BigInt(input.amount) * fluxNanousd
    const recipients = countOf(input.emails)
    const isFirst = await transaction(db, async (tx) => {
      const { rowCount } = await tx.query(
        `insert into flux_grant_batch (id, idempotency_key, body_hash, description, campaign, amount, expires_at, actor, recipients)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (idempotency_key) do nothing`,
        [
          ...[id, key, bodyHash, input.description, input.campaign ?? null, nanos, input.expiresAt ?? null],
          ...[input.actor, recipients],
        ],
      )
      if (rowCount === 0) return false
      const after = { amount_nanousd: nanos, recipients, campaign: input.campaign }
      await recordAct(tx, { actor: input.actor, action: 'flux_grant.create', subject: id, after })
      return true
    })
    if (isFirst) return { id, replayed: false }
    const { rows } = await db.query<{ id: string; same: boolean; completed: boolean }>(
      'select id, body_hash = $2 as same, completed_at is not null as completed from flux_grant_batch where idempotency_key = $1',
      [key, bodyHash],
    )
    const [batch] = rows
    assert(batch !== undefined, 'a key is new or known')
    if (!batch.same) throw new AppError('idempotency_mismatch')
    return { id: batch.id, replayed: batch.completed }
  }

  /** Credits some people in one commit. */
  async function grantChunk(
    input: FluxGrantInput,
    batch: { id: string; key: string },
    people: readonly { email: string; user: User; project: PersonalProject }[],
  ): Promise<FluxGrantOutcome['granted']> {
    return transaction(db, async (tx) => {
      await lockWallets(
        tx,
        people.map(({ project }) => project.walletId),
      )
      const granted: FluxGrantOutcome['granted'] = []
      for (const { email, user, project } of people) {
        const grant = await grants.grantIn(tx, {
          projectId: project.projectId,
          amountNanos: BigInt(input.amount) * fluxNanousd,
          reason: input.description,
          // Of the batch, so that no key of a single grant meets it.
          idempotencyKey: `flux-grant:${batch.id}`,
          actor: input.actor,
          kind: 'promo',
          ...(input.expiresAt !== undefined && { expiresAt: input.expiresAt }),
        })
        const { rows } = await tx.query<{ posted: bigint }>(
          `with r as (insert into flux_grant_recipient (batch_id, project_id, ref) values ($1, $2, $3) on conflict do nothing)
           select posted from wallet where id = $4`,
          [batch.id, project.projectId, grant.id.replace('grt_', ''), project.walletId],
        )
        granted.push({
          ...{ email, userId: user.id, fluxTransactionId: grant.id, replayed: grant.replayed },
          balanceAfter: Number((rows[0]?.posted ?? 0n) / fluxNanousd),
        })
      }
      return granted
    })
  }

  return {
    /** What a grant would do. Changes nothing. Throws AppError body_invalid. */
    async preview(input: FluxGrantInput): Promise<FluxGrantPreview> {
      requireGrantable(input)
      return previewOf(input, await resolve(input.emails))
    },

    /**
     * Grants promo Flux to people by their addresses. The key and the whole request belong together: the same again finishes
     * what a first try left and reports everybody, another request under the key is refused. Whom the database refuses is
     * reported and keeps nobody else from it. Throws AppError: body_invalid, idempotency_key_invalid, idempotency_mismatch.
     */
    async grant(input: FluxGrantInput): Promise<FluxGrantOutcome> {
      requireGrantable(input)
      const key = requireIdempotencyKey(input.idempotencyKey ?? `made-${randomBytes(16).toString('hex')}`)
      const batch = { key, ...(await openBatch(input, key)) }
      const who = await resolve(input.emails)
      const granted: FluxGrantOutcome['granted'] = []
      const failed: FluxGrantOutcome['failed'] = []
      for (let start = 0; start < who.found.length; start += CHUNK) {
        const people: { email: string; user: User; project: PersonalProject }[] = []
        for (const { email, user } of who.found.slice(start, start + CHUNK))
          people.push({ email, user, project: await openProject(user) })
        try {
          granted.push(...(await grantChunk(input, batch, people)))
        } catch {
          // One that is refused takes its chunk along: each is tried by itself.
          for (const one of people)
            await grantChunk(input, batch, [one]).then(
              (done) => granted.push(...done),
              (error: unknown) =>
                failed.push({ email: one.email, userId: one.user.id, error: String(error).slice(0, 500) }),
            )
        }
      }
      if (failed.length === 0)
        await db.query(
          'update flux_grant_batch set completed_at = clock_timestamp() where id = $1 and completed_at is null',
          [batch.id],
        )
      return {
        batchId: batch.id,
        idempotencyKey: key,
        replayed: batch.replayed,
        summary: previewOf(input, who),
        ...{ granted, skipped: who.skipped, failed },
      }
    },

    /** Newest first, at most `limit` after the batch `after`. */
    async list(page: { after?: string; limit: number }): Promise<{ batches: FluxGrantBatch[]; hasMore: boolean }> {
      const { rows } = await db.query<FluxGrantBatch>(
        `${batchQuery} where $1::text is null
           or (b.created_at, b.id) < (select a.created_at, a.id from flux_grant_batch a where a.id = $1)
         order by b.created_at desc, b.id desc limit $2`,
        [page.after ?? null, page.limit + 1],
      )
      return { batches: rows.slice(0, page.limit), hasMore: rows.length > page.limit }
    },

    /** Throws AppError not_found. */
    async get(id: string): Promise<FluxGrantBatch> {
      const { rows } = await db.query<FluxGrantBatch>(`${batchQuery} where b.id = $1`, [id])
      const [batch] = rows
      if (batch === undefined) throw new AppError('not_found', { message: 'No grant has this id.' })
      return batch
    },
  }
}

export type FluxGrants = ReturnType<typeof createFluxGrants>

const batchQuery = `
  select b.id, b.idempotency_key as "idempotencyKey", b.description, b.campaign, b.amount as "amountNanos",
         b.expires_at as "expiresAt", b.actor, b.recipients, b.created_at as "createdAt", b.completed_at as "completedAt",
         (select count(*) from flux_grant_recipient r where r.batch_id = b.id) as granted,
         (select coalesce(sum(a.amount), 0)::bigint from flux_grant_recipient r join adjustment a on a.ref = r.taken_back
          where r.batch_id = b.id) as "takenBack"
  from flux_grant_batch b`

function countOf(emails: readonly string[]): number {
  return new Set(emails.map((email) => email.toLowerCase())).size
}

/** What must be equal for two requests under one key to be the same request: who is meant, whatever the order. */
function hashOf(input: FluxGrantInput): Buffer {
  const body = {
    description: input.description,
    amount: input.amount,
    campaign: input.campaign ?? '',
    expires_at: input.expiresAt?.toISOString() ?? '',
    emails: [...new Set(input.emails.map((email) => email.toLowerCase()))].sort(),
  }
  return hash('sha256', canonicalJson(body), 'buffer')
}

function requireGrantable(input: FluxGrantInput): void {
  requirePlainText(input.description, 'description', REASON_CHARS_MAX)
  if (input.campaign !== undefined) requirePlainText(input.campaign, 'campaign', CAMPAIGN_CHARS_MAX)
  if (input.expiresAt !== undefined && input.expiresAt.getTime() <= Date.now())
    throw new AppError('body_invalid', { message: "'expiresAt' must be in the future.", param: 'expiresAt' })
  assert(input.emails.length >= 1 && input.emails.length <= RECIPIENTS_MAX, 'the route bounds the recipients')
  assert(Number.isInteger(input.amount) && input.amount >= 1 && input.amount <= GRANT_FLUX_MAX, 'and the amount')
}
