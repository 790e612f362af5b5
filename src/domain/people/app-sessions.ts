import type { Db } from '#db/pool.ts'

const SESSION_DAYS = 30
const RENEWED_DAYS = 1

/** Sessions as apps know them, by the ids in their tokens. */
export function createAppSessions({ db }: { db: Db }) {
  return {
    /** Whose a session is, and its own token; undefined when it is over. */
    async find(sessionId: string): Promise<{ userId: string; token: string } | undefined> {
      const { rows } = await db.query<{ userId: string; token: string }>(
        'select user_id as "userId", token from auth_session where id = $1 and expires_at > clock_timestamp()',
        [sessionId],
      )
      return rows[0]
    },

    /** Going on with an app counts as use of the session, as a page that is opened does. */
    async renew(sessionId: string): Promise<void> {
      await db.query(
        `update auth_session set expires_at = clock_timestamp() + $2 * interval '1 day', updated_at = clock_timestamp()
         where id = $1 and expires_at between clock_timestamp() and clock_timestamp() + $3 * interval '1 day'`,
        [sessionId, SESSION_DAYS, SESSION_DAYS - RENEWED_DAYS],
      )
    },

    /** With all that apps were given in it. */
    async end(sessionId: string): Promise<void> {
      await db.query('delete from auth_session where id = $1', [sessionId])
    },

    /** The keys that tokens of apps are signed with, those included that sign no more. */
    async signingKeys(): Promise<{ id: string; publicKey: string }[]> {
      const { rows } = await db.query<{ id: string; publicKey: string }>(
        'select id, public_key as "publicKey" from auth_jwk',
      )
      return rows
    },

    /** Makes this address known as one that tokens may be for. */
    async admitAudience(address: string): Promise<void> {
      await db.query('insert into oauth_resource (id, identifier) values ($1, $1) on conflict do nothing', [address])
    },
  }
}
