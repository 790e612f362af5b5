import type { Receipt } from '#billing/receipt.ts'
import type { OracleCall } from '#simulator/oracle.ts'
import type { Promised } from './soak-config.ts'
import type { SoakCall } from './soak-load.ts'

const EXAMPLES_MAX = 5
const FLUX_NANOS = 1_000_000n

/** One thing that must hold, for how many it was checked and where it did not. */
export interface SoakRule {
  rule: string
  checked: number
  bad: number
  examples: string[]
}

/** What a round of calls has left everywhere. */
export interface SoakEvidence {
  calls: readonly SoakCall[]
  receipts: readonly Receipt[]
  /** What the upstreams saw, by the call's id. */
  seen: ReadonlyMap<string, readonly OracleCall[]>
  versions: ReadonlyMap<number, Promised>
  fluxRates: ReadonlySet<number>
}

/** Compares what clients were told, what upstreams delivered and what receipts say. */
export function checkSoak(evidence: SoakEvidence): SoakRule[] {
  const { calls, receipts, seen, versions, fluxRates } = evidence
  const byId = new Map(receipts.map((receipt) => [receipt.receipt_id, receipt]))
  const servedOf = ({ receipt_id }: Receipt) =>
    (seen.get(receipt_id.slice('rcp_'.length)) ?? []).filter(({ state }) => state === 'finished')

  return [
    rule('every call is answered in full', calls, ({ problem }) => problem),
    rule('every call has its receipt, and every receipt its call', calls, ({ receipt, problem }) =>
      problem === undefined && !byId.has(receipt ?? '') ? `${receipt} is not there` : undefined,
    ),
    rule('every receipt is of a call that was made', receipts, ({ receipt_id }) =>
      calls.some(({ receipt }) => receipt === receipt_id) ? undefined : receipt_id,
    ),
    rule('one upstream served each call, and the receipt says so', receipts, (receipt) => {
      const served = servedOf(receipt)
      const asked = seen.get(receipt.receipt_id.slice('rcp_'.length)) ?? []
      if (receipt.outcome !== 'complete' || served.length !== 1)
        return `${receipt.receipt_id}: ${receipt.outcome}, served ${served.length} times`
      return receipt.attempts === asked.length ? undefined : `${receipt.receipt_id}: ${asked.length} attempts`
    }),
    rule('a charge is what was delivered at the price of its version', receipts, (receipt) => {
      const [served] = servedOf(receipt)
      const expected = served && expectedNanos(receipt, served, evidence)
      if (expected === undefined) return `${receipt.receipt_id}: nothing is known of its price`
      return BigInt(receipt.charged_nanousd) === expected
        ? undefined
        : `${receipt.receipt_id}: ${receipt.charged_nanousd}, not ${expected}`
    }),
    rule('the version of a receipt was written', receipts, ({ receipt_id, config_version: version = 0 }) =>
      versions.has(version) ? undefined : `${receipt_id}: version ${version}`,
    ),
    rule(
      'a key belongs to the version of its receipt',
      receipts,
      ({ receipt_id, config_version, attempt_list = [] }) => {
        const known = versions.get(config_version ?? 0)?.keyIds
        return attempt_list.every(({ key }) => key !== undefined && known?.has(key)) ? undefined : receipt_id
      },
    ),
    rule('no worker sees a version go back', calls, notGoingBack(byId)),
    rule('a Flux rate of a receipt was set', receipts.filter(isFlux), (receipt) =>
      fluxRates.has(Number(receipt.price.lines.input) / 1_000_000) ? undefined : receipt.receipt_id,
    ),
  ]
}

export function rule<T>(name: string, checked: readonly T[], problemOf: (one: T) => string | undefined): SoakRule {
  const problems = checked.map(problemOf).filter((problem) => problem !== undefined)
  return { rule: name, checked: checked.length, bad: problems.length, examples: problems.slice(0, EXAMPLES_MAX) }
}

/** Adds up what rounds have found. */
export function sumRules(rounds: readonly (readonly SoakRule[])[]): SoakRule[] {
  const all = Map.groupBy(rounds.flat(), (one) => one.rule)
  return [...all].map(([name, found]) => ({
    rule: name,
    checked: found.reduce((sum, { checked }) => sum + checked, 0),
    bad: found.reduce((sum, { bad }) => sum + bad, 0),
    examples: found.flatMap(({ examples }) => examples).slice(0, EXAMPLES_MAX),
  }))
}

const isFlux = ({ model }: Receipt) => model === 'flux'

/** By pencil, not by the gateway's own arithmetic. */
function expectedNanos(receipt: Receipt, served: OracleCall, { versions }: SoakEvidence): bigint | undefined {
  const { promptTokens, completionTokens } = served
  if (isFlux(receipt)) {
    const perToken = BigInt(receipt.price.lines.input ?? '0')
    const sum = ceil(BigInt(promptTokens + completionTokens) * perToken)
    return sum < FLUX_NANOS ? FLUX_NANOS : sum
  }
  const upstream = receipt.attempt_list?.at(-1)?.upstream ?? ''
  const price = versions.get(receipt.config_version ?? 0)?.prices[upstream]
  if (price === undefined) return undefined
  return ceil(BigInt(promptTokens) * BigInt(price.input) + BigInt(completionTokens) * BigInt(price.output))
}

function ceil(pico: bigint): bigint {
  return (pico + 999n) / 1_000n
}

function notGoingBack(byId: ReadonlyMap<string, Receipt>): (call: SoakCall) => string | undefined {
  const latest = new Map<number, number>()
  return ({ worker, receipt = '' }) => {
    const version = byId.get(receipt)?.config_version
    if (version === undefined) return undefined
    const before = latest.get(worker) ?? 0
    latest.set(worker, version)
    return version < before ? `worker ${worker}: ${before}, then ${version}` : undefined
  }
}
