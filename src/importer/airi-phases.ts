import { auditLedger } from '#domain/audit.ts'
import { type CreditOptions, creditBalances, readBalances, reportBalances } from './airi-balances.ts'
import {
  type AiriContext,
  airiTotals,
  copyRequests,
  copyTransactions,
  importedAiriTotals,
  openAiriUsers,
} from './airi-history.ts'
import { onSnapshot, requirePhase } from './import-run.ts'
import { sha256 } from './llmring-owners.ts'
import { readTenants } from './llmring-tenants.ts'

/** Counts, sums, and every balance that its transactions do not explain. Changes nothing in the source. */
export async function planAiri(context: AiriContext): Promise<void> {
  const { source, shape, run, report } = context
  const { totals, balances } = await onSnapshot(source.db, async (tx) => ({
    totals: await airiTotals(tx, shape),
    balances: await readBalances(tx, shape, run.timeZone),
  }))
  for (const [name, value] of Object.entries(totals)) report.figure(name, value)
  reportBalances(context, balances)
}

/** Nothing in AIRI has to change while it runs on. */
export async function expandAiri({ report }: AiriContext): Promise<void> {
  report.note('AIRI needs no preparation: go on with backfill.')
}

/** Copies the history. Balances are credited by switch, when AIRI has stopped spending them. */
export async function backfillAiri(context: AiriContext, batchRows: number): Promise<void> {
  const tenants = await openAiriUsers(context)
  await copyTransactions(context, batchRows)
  await copyRequests(context, tenants, batchRows)
  for (const [name, value] of Object.entries(await importedAiriTotals(context.target, context.run.name)))
    context.report.figure(name, value)
}

/** Compares AIRI with what is here; after switch also every balance with its opening lot, to the last Flux. */
export async function verifyAiri(context: AiriContext, fluxNanousd: bigint): Promise<void> {
  const { source, target, shape, run, report } = context
  await requirePhase(target, run.name, 'verify', 'backfill')
  const { totals, balances } = await onSnapshot(source.db, async (tx) => ({
    totals: await airiTotals(tx, shape),
    balances: await readBalances(tx, shape, run.timeZone),
  }))
  const found = await importedAiriTotals(target, run.name)
  for (const [name, expected] of Object.entries(totals)) report.check(name, expected, found[name] ?? '0')
  reportBalances(context, balances)
  const tenants = await readTenants(target, run.name)
  const owned = balances.filter(({ userId }) => tenants.projectOf('project', sha256(userId)) !== undefined)
  report.check('users with a project', balances.length, owned.length)
  if (run.servingSince !== null) await checkLots(context, balances, fluxNanousd)
  const { invariants } = await auditLedger(target)
  for (const { name, bad } of invariants.filter((one) => one.bad > 0)) report.check(name, 0, bad)
  report.check(
    'the books balance',
    true,
    invariants.every(({ bad }) => bad === 0),
  )
}

async function checkLots(
  { target, run, report }: AiriContext,
  balances: Awaited<ReturnType<typeof readBalances>>,
  fluxNanousd: bigint,
): Promise<void> {
  const { rows } = await target.query<{ userId: string; amount: bigint }>(
    `select b.user_id as "userId", a.amount from imported_airi_balance b
     join adjustment a on a.ref = b.ref and a.wallet_id = (select wallet_id from project where id = b.project_id)
     where b.import = $1`,
    [run.name],
  )
  const credited = new Map(rows.map(({ userId, amount }) => [userId, amount]))
  const live = balances.filter(({ flux, deletedAt }) => flux > 0n && deletedAt === null)
  const same = live.filter(({ userId, flux }) => credited.get(userId) === flux * fluxNanousd)
  const sum = [...credited.values()].reduce((total, amount) => total + amount, 0n)
  const flux = live.reduce((total, one) => total + one.flux, 0n)
  report.check('users whose opening lot is their balance', live.length, same.length)
  report.check('opening lots', live.length, credited.size)
  report.check('nano-dollars in opening lots', flux * fluxNanousd, sum)
}

/** Copies what came in since and credits every balance. AIRI must have been stopped. */
export async function switchAiri(context: AiriContext, batchRows: number, options: CreditOptions): Promise<void> {
  const { target, run } = context
  await requirePhase(target, run.name, 'switch', 'verify')
  await backfillAiri(context, batchRows)
  await creditBalances(context, await readTenants(target, run.name), options)
  await target.query(
    'update import_run set serving_since = coalesce(serving_since, clock_timestamp()) where name = $1',
    [run.name],
  )
}

/** AIRI's tables resolve nothing here, so nothing has to go. */
export async function contractAiri({ report }: AiriContext): Promise<void> {
  report.note("Nothing of AIRI's is dropped: keep its database as the archive, or remove it by hand.")
}
