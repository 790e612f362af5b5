import { hash } from 'node:crypto'
import { plainArray, textArray } from '#db/array-literal.ts'
import { type Tx, transaction } from '#db/pool.ts'
import { lotKinds } from '#domain/wallets.ts'
import { assert } from '#lib/assert.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidFromName } from '#lib/ids.ts'
import type { AiriContext } from './airi-history.ts'
import { type AiriShape, airiTable, airiTime, FLUX_CHANGE } from './airi-shape.ts'
import { onSnapshot } from './import-run.ts'
import { sha256 } from './llmring-owners.ts'
import type { Tenants } from './llmring-tenants.ts'

export interface Balance {
  userId: string
  flux: bigint
  /** What the user's transactions add up to. */
  ledgerFlux: string
  deletedAt: string | null
  updatedAt: string | null
}

/** How opening balances are booked: what was mostly paid for burns last, what an operator gave burns before. */
export const openingLots = { paid: 30, admin: 25 } as const
export type OpeningLot = keyof typeof openingLots

export interface CreditOptions {
  slot: { current(): { slot: number } }
  fluxNanousd: bigint
  lot: OpeningLot
}

const PROMO_EXPENSE = 4 // The kind of account that pays for grants.
const USERS_AT_ONCE = 200
const USERS_SHOWN = 50

/** Everybody's balance beside what the transactions say, as of one moment. */
export async function readBalances(tx: Tx, shape: AiriShape, zone: string): Promise<Balance[]> {
  const { rows } = await tx.query<Balance>(
    `select f.user_id as "userId", f.flux::bigint as flux, coalesce(t.change, 0)::text as "ledgerFlux",
            ${airiTime(shape, 'user_flux', 'deleted_at')} as "deletedAt", ${airiTime(shape, 'user_flux', 'updated_at')} as "updatedAt"
     from ${airiTable(shape, 'user_flux')} f
     left join (select user_id, sum((${FLUX_CHANGE})::numeric) as change from ${airiTable(shape, 'flux_transaction')} group by 1) t
       on t.user_id = f.user_id
     order by f.user_id`,
    [zone],
  )
  return rows
}

/** Sums by what becomes of a balance; those that disagree with their transactions are told one by one. */
export function reportBalances({ report }: Pick<AiriContext, 'report'>, balances: readonly Balance[]): void {
  const sum = (some: readonly Balance[]) => some.reduce((total, { flux }) => total + flux, 0n)
  const deleted = balances.filter(({ deletedAt }) => deletedAt !== null)
  const negative = balances.filter(({ deletedAt, flux }) => deletedAt === null && flux < 0n)
  const live = balances.filter(isCredited)
  report.figure('users with a balance record', balances.length)
  report.figure('Flux of all of them', sum(balances))
  report.figure('users whose balance becomes an opening lot', live.length)
  report.figure('Flux that become opening lots', sum(live))
  report.figure('deleted users, not credited', deleted.length)
  report.figure('Flux of deleted users', sum(deleted))
  report.figure('users below zero, not credited', negative.length)
  report.figure('Flux of users below zero', sum(negative))
  const differ = balances.filter(({ flux, ledgerFlux }) => flux.toString() !== ledgerFlux)
  report.figure('users whose transactions do not add up to their balance', differ.length)
  for (const { userId, flux, ledgerFlux } of differ.slice(0, USERS_SHOWN))
    report.note(
      `the balance of ${userId} is ${flux} Flux, its transactions add up to ${ledgerFlux}; the balance is taken`,
    )
  if (differ.length > USERS_SHOWN) report.note(`and ${differ.length - USERS_SHOWN} more: see imported_airi_balance`)
}

function isCredited({ flux, deletedAt }: Balance): boolean {
  return flux > 0n && deletedAt === null
}

/** Credits every balance that is not credited yet. The reference is the user's, so a second run changes nothing. */
export async function creditBalances(context: AiriContext, tenants: Tenants, options: CreditOptions): Promise<void> {
  const { source, target, shape, run, report } = context
  const balances = await onSnapshot(source.db, (tx) => readBalances(tx, shape, run.timeZone))
  reportBalances(context, balances)
  let credited = 0
  const changed: string[] = []
  for (let start = 0; start < balances.length; start += USERS_AT_ONCE) {
    const page = balances.slice(start, start + USERS_AT_ONCE).map((balance) => {
      const projectId = tenants.projectOf('project', sha256(balance.userId))
      assert(projectId !== undefined, 'every user has a project')
      return {
        ...balance,
        projectId,
        ref: isCredited(balance) ? uuidFromName('airi opening', run.name, balance.userId) : null,
      }
    })
    await transaction(target, async (tx) => {
      const statuses = await creditPage(tx, page, options, run.name)
      await tx.query(
        `insert into imported_airi_balance as b (import, user_id, project_id, flux, ledger_flux, deleted_at, updated_at, ref)
         select $1, * from unnest($2::text[], $3::text[], $4::bigint[], $5::numeric[], $6::timestamptz[], $7::timestamptz[], $8::uuid[])
         on conflict (import, user_id) do update
           set flux = excluded.flux, ledger_flux = excluded.ledger_flux, deleted_at = excluded.deleted_at,
               updated_at = excluded.updated_at, ref = excluded.ref
         where b.ref is null`,
        [
          run.name,
          textArray(page, ({ userId }) => userId),
          textArray(page, ({ projectId }) => projectId),
          plainArray(page, ({ flux }) => flux),
          plainArray(page, ({ ledgerFlux }) => ledgerFlux),
          textArray(page, ({ deletedAt }) => deletedAt),
          textArray(page, ({ updatedAt }) => updatedAt),
          plainArray(page, ({ ref }) => ref ?? 'NULL'),
        ],
      )
      credited += statuses.filter(({ status }) => status === 'credited').length
      changed.push(...statuses.filter(({ status }) => status === 'key_reused').map(({ userId }) => userId))
    })
  }
  report.figure('opening lots credited by this run', credited)
  report.check('users whose balance changed after it was credited', 0, changed.length)
  for (const userId of changed.slice(0, USERS_SHOWN))
    report.note(
      `the balance of ${userId} changed after it was credited: AIRI still runs. Grant or refund the difference by hand.`,
    )
}

/** One commit of opening credits, wallets by ascending id as everywhere. */
async function creditPage(
  tx: Tx,
  page: readonly (Balance & { projectId: string; ref: string | null })[],
  options: CreditOptions,
  name: string,
): Promise<{ userId: string; status: string }[]> {
  const rows = page.flatMap((one) => (one.ref === null ? [] : [{ ...one, ref: one.ref }]))
  if (rows.length === 0) return []
  const amount = ({ flux }: Balance) => flux * options.fluxNanousd
  const bodyHash = (one: Balance) =>
    hash(
      'sha256',
      canonicalJson({ amount_nanousd: amount(one).toString(), flux: one.flux.toString(), user: one.userId }),
    )
  await tx.query(
    'select from wallet where id in (select wallet_id from project where id = any ($1)) order by id for no key update',
    [rows.map(({ projectId }) => projectId)],
  )
  const { rows: statuses } = await tx.query<{ userId: string; status: string }>(
    `select o.user_id as "userId", c.status
     from (select u.*, p.wallet_id from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[]) as u(user_id, project_id, ref, amount, body)
           join project p on p.id = u.project_id order by p.wallet_id) o
     cross join lateral credit($6::smallint, o.ref, o.wallet_id, o.amount, $7::smallint, $8::smallint, $9::smallint, null, $10, 'import',
                               decode(o.body, 'hex')) c`,
    [
      textArray(rows, ({ userId }) => userId),
      textArray(rows, ({ projectId }) => projectId),
      plainArray(rows, ({ ref }) => ref),
      plainArray(rows, amount),
      textArray(rows, bodyHash),
      options.slot.current().slot,
      PROMO_EXPENSE,
      lotKinds.indexOf(options.lot) + 1,
      openingLots[options.lot],
      `opening balance imported from ${name}`,
    ],
  )
  assert(
    statuses.every(({ status }) => status !== 'no_wallet'),
    'every project has a wallet',
  )
  return statuses
}
