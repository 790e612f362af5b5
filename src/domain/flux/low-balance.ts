import type { Db } from '#db/pool.ts'
import type { SendMail } from '#domain/people/mail.ts'
import { formatRatio } from '#lib/decimal.ts'

const MAILS_MAX = 50

/** Below which balance a person wants to hear of it by mail; null for never. */
export function createLowBalances(deps: { db: Db; sendMail: SendMail; fluxNanousd: bigint }) {
  const { db, sendMail, fluxNanousd } = deps
  return {
    async threshold(projectId: string): Promise<number | null> {
      const { rows } = await db.query<{ threshold: bigint | null }>(
        'select low_balance_nanousd as threshold from project where id = $1',
        [projectId],
      )
      const threshold = rows[0]?.threshold ?? null
      return threshold === null ? null : Number(threshold / fluxNanousd)
    },

    /** Whoever is below it already is told at the next look. */
    async setThreshold(projectId: string, flux: number | null): Promise<void> {
      await db.query(
        `update project set low_balance_nanousd = $2, low_since = null, low_mailed_at = null
         where id = $1 and low_balance_nanousd is distinct from $2`,
        [projectId, flux === null ? null : BigInt(flux) * fluxNanousd],
      )
    },

    /** Mails those whose balance has fallen below their threshold, each once until it was above again. Returns how many. */
    async sendMails(): Promise<number> {
      const { rows } = await db.query<{ email: string; posted: bigint; threshold: bigint }>(
        `with due as (
           select p.id, u.email, w.posted from project p
           join auth_user u on u.id = p.user_id and u.email_verified join wallet w on w.id = p.wallet_id
           where p.low_since is not null and p.low_mailed_at is distinct from p.low_since
           order by p.id limit $1 for no key update of p skip locked)
         update project p set low_mailed_at = p.low_since from due where due.id = p.id
         returning due.email, due.posted, p.low_balance_nanousd as threshold`,
        [MAILS_MAX],
      )
      // Told by whoever sends mails when it does not go out; it is not sent again.
      for (const { email, posted, threshold } of rows)
        await sendMail(email, 'low_balance', {
          availableFlux: formatRatio(posted, fluxNanousd),
          thresholdFlux: formatRatio(threshold, fluxNanousd),
        }).catch(() => undefined)
      return rows.length
    },
  }
}

export type LowBalances = ReturnType<typeof createLowBalances>
