import { randomBytes } from 'node:crypto'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { isMailAddress } from '#lib/mail-address.ts'

/** Somebody as another issuer of tokens knows them. */
export interface ExternalIdentity {
  issuer: string
  subject: string
  email: string | undefined
  emailVerified: boolean
  name: string | undefined
}

const NAME_CHARS_MAX = 200

/**
 * The user who stands for somebody of another issuer, made at the first token. An address that belongs to a user here already
 * joins the two only where both sides have verified it; otherwise the newcomer is a user without a usable address.
 */
export function createExternalIdentities({ db }: { db: Db }) {
  async function find(identity: ExternalIdentity, on: Db | Tx = db): Promise<string | undefined> {
    const { rows } = await on.query<{ userId: string }>(
      'select user_id as "userId" from external_identity where issuer = $1 and subject = $2',
      [identity.issuer, identity.subject],
    )
    return rows[0]?.userId
  }

  return {
    async userIdOf(identity: ExternalIdentity): Promise<string> {
      const known = await find(identity)
      if (known !== undefined) return known
      return transaction(db, async (tx) => {
        // Two first tokens of one person make one user.
        await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
          `external identity ${identity.issuer} ${identity.subject}`,
        ])
        const raced = await find(identity, tx)
        if (raced !== undefined) return raced
        const id = `usr_${randomBytes(16).toString('hex')}`
        // An address that nobody has verified names nobody: whoever proves it later would share the account with this one.
        const email = identity.emailVerified ? identity.email?.toLowerCase() : undefined
        const usable = email !== undefined && isMailAddress(email) ? email : undefined
        const { rows } = await tx.query<{ id: string; emailVerified: boolean }>(
          'select id, email_verified as "emailVerified" from auth_user where email = $1',
          [usable ?? null],
        )
        const [owner] = rows
        const joins = owner?.emailVerified === true
        if (!joins)
          await tx.query('insert into auth_user (id, name, email, email_verified) values ($1, $2, $3, $4)', [
            id,
            (identity.name ?? '').replaceAll(/\p{Cc}/gu, '').slice(0, NAME_CHARS_MAX),
            usable !== undefined && owner === undefined ? usable : `${id}@users.invalid`,
            usable !== undefined && owner === undefined,
          ])
        const userId = joins ? owner.id : id
        await tx.query('insert into external_identity (issuer, subject, user_id) values ($1, $2, $3)', [
          identity.issuer,
          identity.subject,
          userId,
        ])
        return userId
      })
    },
  }
}
