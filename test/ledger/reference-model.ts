// What docs/ledger.md promises, in plain arithmetic: no SQL, no locks, no batches of statements. Balances are never kept,
// only lots and holds are; whatever else the books show is added up from them.

/** Times are milliseconds; `null` is never. */
export interface Lot {
  wallet: number
  class: number
  priority: number
  expiresAt: number | null
  credited: bigint
  spent: bigint
}

export interface Hold {
  request: string
  attempt: string
  wallet: number
  seq: bigint
  amount: bigint
  accrued: bigint
  usage: string
  body: string
  slot: number
  epoch: bigint
  expiresAt: number
  /** Number and grant of the last extension. */
  extension: bigint
  extended: bigint
}

interface Part {
  lot: Lot
  amount: bigint
}

export interface CallRecord extends Pick<Hold, 'request' | 'wallet' | 'seq' | 'body'> {
  charged: bigint
  absorbed: bigint
  /** What was taken from which lot, in burn order. */
  legs: Part[]
  refunds: Part[]
}

export type ReserveRow = Pick<Hold, 'request' | 'attempt' | 'wallet' | 'amount' | 'body'> & { floor: bigint }
export type ExtendRow = Pick<Hold, 'request' | 'wallet' | 'accrued' | 'usage'> & { number: bigint; add: bigint }
export type SettleRow = Pick<Hold, 'request' | 'wallet' | 'seq'> & { charge: bigint; absorbed: bigint }
export type Grant = Omit<Lot, 'credited' | 'spent'> & { ref: string; amount: bigint; source: 3 | 4; body: string }

export const REQUEST_MAX = 1_000_000_000_000n
const REFUND_LOT_MS = 30 * 86_400_000
const LOOK_AGAIN_MS = 60_000
const BUCKET_MS = 15 * 60_000

const [REVENUE, BREAKAGE, COST, PAYABLE] = [2, 5, 6, 7] as const
export class SlotLostError extends Error {}

export function createReferenceLedger() {
  const wallets: { seq: bigint; frozen: boolean; nextLook: number | null }[] = []
  const lots: Lot[] = []
  const holds = new Map<string, Hold>()
  const records = new Map<string, CallRecord>()
  const adjustments = new Map<string, string>()
  const epochs = new Map<number, bigint>()
  const system = new Map<string, { debits: bigint; credits: bigint }>()
  const usage = new Map<string, { calls: bigint; charged: bigint; absorbed: bigint }>()

  const rest = (lot: Lot) => lot.credited - lot.spent
  const lotsOf = (wallet: number) => lots.filter((lot) => lot.wallet === wallet)
  const posted = (wallet: number) => sum(lotsOf(wallet).map(rest))
  const held = (wallet: number) => sum([...holds.values()].filter((h) => h.wallet === wallet).map((h) => h.amount))
  const free = (wallet: number) => posted(wallet) - held(wallet)

  function account(slot: number, kind: number) {
    const key = `${slot} ${kind}`
    const found = system.get(key) ?? { debits: 0n, credits: 0n }
    system.set(key, found)
    return found
  }

  /** Lots that are due lose what no running call may still need, the first to expire first. */
  function expire(slot: number, index: number, now: number): void {
    const wallet = wallets[index]
    if (wallet === undefined || wallet.nextLook === null || wallet.nextLook > now) return
    const due = lotsOf(index)
      .filter((lot) => rest(lot) > 0n && lot.expiresAt !== null && lot.expiresAt <= now)
      .sort((a, b) => Number(a.expiresAt) - Number(b.expiresAt)) // Stable: among equals the oldest stays first.
    for (const lot of due) {
      const amount = smallest(rest(lot), free(index))
      lot.spent += amount
      account(slot, BREAKAGE).credits += amount
    }
    const later = lotsOf(index).flatMap((lot) =>
      rest(lot) > 0n && lot.expiresAt !== null && lot.expiresAt > now ? [lot.expiresAt] : [],
    )
    const again = due.some((lot) => rest(lot) > 0n) ? [now + LOOK_AGAIN_MS] : []
    wallet.nextLook = earliest([...later, ...again])
  }

  function requireEpoch(slot: number, epoch: bigint): void {
    if (epochs.get(slot) !== epoch) throw new SlotLostError()
  }

  return {
    wallets,
    lots,
    holds,
    records,
    system,
    usage,
    posted,
    held,
    isLotOpen: (lot: Lot) => rest(lot) > 0n,

    claim(slot: number): bigint {
      const epoch = (epochs.get(slot) ?? 0n) + 1n
      epochs.set(slot, epoch)
      return epoch
    },

    credit(slot: number, grant: Grant): string {
      const wallet = wallets[grant.wallet]
      if (wallet === undefined) return 'no_wallet'
      const before = adjustments.get(grant.ref)
      if (before !== undefined) return before === grant.body ? 'already' : 'key_reused'
      adjustments.set(grant.ref, grant.body)
      const { amount, ref: _, source, body: __, ...terms } = grant
      lots.push({ ...terms, credited: amount, spent: 0n })
      account(slot, source).debits += amount
      wallet.nextLook = earliest([wallet.nextLook, grant.expiresAt])
      return 'credited'
    },

    reserve(lease: { slot: number; epoch: bigint }, now: number, ttlMs: number, batch: ReserveRow[]) {
      requireEpoch(lease.slot, lease.epoch)
      for (const index of new Set(batch.map((row) => row.wallet))) expire(lease.slot, index, now)
      const freeBefore = new Map(wallets.map((_, index) => [index, free(index)]))
      const openBefore = new Map(holds)
      return batch.map((row) => {
        const wallet = wallets[row.wallet]
        if (wallet === undefined) return { status: 'no_wallet', seq: null, granted: 0n, free: null }
        const open = openBefore.get(row.request)
        const done = records.get(row.request)
        const answer = (status: string, seq?: bigint, granted?: bigint) => ({
          status,
          seq: seq ?? open?.seq ?? done?.seq ?? null,
          granted: granted ?? open?.amount ?? 0n,
          free: freeBefore.get(row.wallet) ?? null,
        })
        const mine = open?.attempt === row.attempt ? holds.get(row.request) : undefined
        if (mine !== undefined) Object.assign(mine, lease)
        if (mine !== undefined) return answer('reserved')
        const prior = open ?? done
        if (prior !== undefined && prior.body !== row.body) return answer('key_reused')
        if (done !== undefined) return answer('done')
        if (open !== undefined) return answer('in_flight')
        if (wallet.frozen) return answer('frozen')
        if (row.floor < 0n || row.amount < row.floor || row.amount > REQUEST_MAX) return answer('bad_amount')
        const amount = smallest(row.amount, free(row.wallet))
        if (amount < row.floor) return answer('insufficient')
        wallet.seq += 1n
        const { floor: _, ...rest } = row
        const fresh = { accrued: 0n, usage: '{}', expiresAt: now + ttlMs, extension: 0n, extended: 0n }
        holds.set(row.request, { ...rest, ...lease, ...fresh, amount, seq: wallet.seq })
        return answer('reserved', wallet.seq, amount)
      })
    },

    extend(lease: { slot: number; epoch: bigint }, now: number, ttlMs: number, batch: ExtendRow[]): bigint[] {
      requireEpoch(lease.slot, lease.epoch)
      const before = new Map([...holds].map(([request, hold]) => [request, { ...hold }]))
      const seen = new Set<string>()
      return batch.map((row) => {
        const hold = holds.get(row.request)
        const was = before.get(row.request)
        if (hold === undefined || was === undefined || hold.wallet !== row.wallet) return -1n
        if (hold.slot !== lease.slot || hold.epoch !== lease.epoch || wallets[row.wallet]?.frozen) return -1n
        if (row.add < 0n || row.accrued < 0n) return -1n
        const first = !seen.has(row.request)
        seen.add(row.request)
        if (row.number === was.extension) return was.extended
        if (row.number < was.extension || !first) return 0n
        const granted = smallest(row.add, free(row.wallet), REQUEST_MAX - hold.amount)
        hold.amount += granted
        if (row.accrued > hold.accrued) hold.usage = row.usage
        hold.accrued = largest(hold.accrued, smallest(row.accrued, hold.amount))
        Object.assign(hold, { extension: row.number, extended: granted, expiresAt: now + ttlMs })
        return granted
      })
    },

    /** All or nothing: the receipts of a batch share one signature. */
    settle(slot: number, now: number, batch: SettleRow[]) {
      const seen = new Set<string>()
      const answers = batch.map((row) => {
        const hold = holds.get(row.request)
        const done = records.get(row.request)
        const again = seen.has(row.request)
        seen.add(row.request)
        const answer = (status: string) => ({ status, charged: done?.charged ?? null })
        if (done !== undefined || again) return answer('already')
        if (hold === undefined || hold.wallet !== row.wallet) return answer('no_hold')
        if (row.charge < 0n || row.charge > hold.amount) return answer('exceeds_hold')
        return answer(row.seq === hold.seq ? 'ready' : 'seq_differs')
      })
      if (answers.some((answer) => answer.status !== 'ready')) return answers
      return batch.map((row) => {
        const hold = holds.get(row.request)
        if (hold === undefined) throw new Error('a ready row has a hold')
        holds.delete(row.request)
        const legs = burn(row.wallet, row.charge)
        const { request, wallet, seq, charge: charged, absorbed } = row
        records.set(request, { request, wallet, seq, charged, absorbed, body: hold.body, legs, refunds: [] })
        account(slot, REVENUE).credits += charged
        account(slot, COST).debits += charged + absorbed
        account(slot, PAYABLE).credits += charged + absorbed
        const key = `${wallet} ${Math.floor(now / BUCKET_MS) * BUCKET_MS}`
        const bucket = usage.get(key) ?? { calls: 0n, charged: 0n, absorbed: 0n }
        bucket.calls += 1n
        bucket.charged += charged
        bucket.absorbed += absorbed
        usage.set(key, bucket)
        return { status: 'settled', charged }
      })
    },

    refund(slot: number, now: number, wanted: { ref: string; request: string; amount: bigint; body: string }): string {
      const record = records.get(wanted.request)
      if (record === undefined) return 'no_request'
      const before = adjustments.get(wanted.ref)
      if (before !== undefined) return before === wanted.body ? 'already' : 'key_reused'
      const returned = sum(record.refunds.map((part) => part.amount))
      if (wanted.amount <= 0n || wanted.amount > record.charged - returned) return 'exceeds_charge'
      adjustments.set(wanted.ref, wanted.body)

      // The nano-dollars of a charge stand in a line, last burnt first; refunds take them from its head.
      let skip = returned
      let left = wanted.amount
      const late: Part[] = []
      const back: Part[] = []
      for (const { lot, amount } of record.legs.toReversed()) {
        const skipped = smallest(skip, amount)
        skip -= skipped
        const part = smallest(left, amount - skipped)
        left -= part
        if (part > 0n) (lot.expiresAt !== null && lot.expiresAt <= now ? late : back).push({ lot, amount: part })
      }
      back.sort((a, b) => lots.indexOf(a.lot) - lots.indexOf(b.lot))
      if (late.length > 0) {
        const least = (member: 'class' | 'priority') => Math.min(...late.map(({ lot }) => lot[member]))
        const terms = { class: least('class'), priority: least('priority'), expiresAt: now + REFUND_LOT_MS }
        const fresh: Lot = { ...terms, wallet: record.wallet, credited: 0n, spent: 0n }
        lots.push(fresh)
        back.push({ lot: fresh, amount: sum(late.map(({ amount }) => amount)) })
      }
      const wallet = wallets[record.wallet]
      for (const { lot, amount } of back) {
        lot.credited += amount
        record.refunds.push({ lot, amount })
        if (wallet !== undefined) wallet.nextLook = earliest([wallet.nextLook, lot.expiresAt])
      }
      account(slot, REVENUE).debits += wanted.amount
      return 'refunded'
    },

    expireQuiet(slot: number, now: number, limit: number): number {
      const due = wallets.flatMap(({ nextLook }, index) => (nextLook !== null && nextLook <= now ? [index] : []))
      for (const index of due.slice(0, limit)) expire(slot, index, now)
      return Math.min(due.length, limit)
    },
  }

  /** Lots burn by priority, then the first to expire, then the oldest. */
  function burn(wallet: number, charge: bigint): Part[] {
    const end = (lot: Lot) => lot.expiresAt ?? Number.MAX_SAFE_INTEGER
    // The sort is stable, so among equals the oldest stays first.
    const order = lotsOf(wallet).sort((a, b) => a.priority - b.priority || end(a) - end(b))
    let left = charge
    const legs: Part[] = []
    for (const lot of order) {
      const amount = smallest(rest(lot), left)
      if (amount === 0n) continue
      lot.spent += amount
      left -= amount
      legs.push({ lot, amount })
    }
    if (left > 0n) throw new Error('a hold is covered by lots')
    return legs
  }
}

export type ReferenceLedger = ReturnType<typeof createReferenceLedger>

const sum = (amounts: bigint[]) => amounts.reduce((total, amount) => total + amount, 0n)
const smallest = (...amounts: [bigint, ...bigint[]]) => amounts.reduce((a, b) => (b < a ? b : a))
const largest = (...amounts: [bigint, ...bigint[]]) => amounts.reduce((a, b) => (b > a ? b : a))

function earliest(times: (number | null)[]): number | null {
  const known = times.filter((time) => time !== null)
  return known.length === 0 ? null : Math.min(...known)
}
