import { chargeNanos, type PriceLines } from '#billing/price.ts'
import type { Receipt } from '#billing/receipt.ts'
import type { OracleCall } from '#simulator/oracle.ts'
import type { ClientRecord } from './load.ts'

/**
 * What a killed gateway may leave unpaid of one stream, in output tokens: a tranche, and what the last read brought beyond it.
 * The simulator writes at most 16 KiB at once, which is some 80 frames of up to 4 tokens.
 */
const TRANCHE_TOKENS = 1_024
const READ_TOKENS = 320
const EXAMPLES_MAX = 5

/** Everything that is known after a run, from three sides that do not know each other. */
export interface Evidence {
  /** What the clients saw. */
  clients: readonly ClientRecord[]
  /** What the upstream delivered. */
  oracle: readonly OracleCall[]
  /** What the books say: every receipt, and what its verification found wrong. */
  receipts: readonly Receipt[]
  receiptProblems: readonly string[]
  audit: { checked: number; bad: readonly string[] }
  wallets: readonly { name: string; granted: bigint; posted: bigint; held: bigint; charged: bigint }[]
  /** The price of a model, by the price book. */
  linesOf: (model: string) => PriceLines
}

/** How many cases were looked at, and those that break the rule: all counted, the first described. */
interface Rule {
  rule: string
  checked: number
  bad: number
  examples: string[]
}

export interface Reconciliation {
  rules: Rule[]
  /** Of streams that a killed gateway left behind: what their clients got and do not pay, in output tokens. */
  unpaid: { streams: number; maxTokens: number; p50Tokens: number }
  /** The same streams by the upstream's count, beyond the prompt: with what still lay in a socket. */
  uncharged: { maxTokens: number; p50Tokens: number; maxNanos: bigint }
  /** Answers that are not streamed and that a killed gateway had not yet passed on. */
  unchargedWhole: { calls: number; maxNanos: bigint }
  deliveredNanos: bigint
  chargedNanos: bigint
}

/** Compares what was delivered, what was charged and what clients were told. No rule may have a bad case. */
export function reconcile(evidence: Evidence): Reconciliation {
  const books = createBooks(evidence)
  const lost = findLost(evidence, books)
  const streams = lost.filter(({ stream }) => stream)
  const wholes = lost.filter(({ stream }) => !stream)
  return {
    rules: [...rulesOfClients(evidence, books), ...rulesOfMoney(evidence, books), ...rulesOfLoss(streams)],
    unpaid: { streams: streams.length, ...spread(streams.map((one) => one.unpaidTokens)) },
    uncharged: { ...spread(streams.map((one) => one.unchargedTokens)), maxNanos: largest(streams) },
    unchargedWhole: { calls: wholes.length, maxNanos: largest(wholes) },
    deliveredNanos: evidence.oracle.reduce((sum, call) => sum + books.costOf(call), 0n),
    chargedNanos: evidence.receipts.reduce((sum, receipt) => sum + chargeOf(receipt), 0n),
  }
}

/** The evidence by the one name that all three sides share. */
function createBooks({ oracle, receipts, linesOf }: Evidence) {
  const receiptsById = Map.groupBy(receipts, ({ receipt_id }) => receipt_id)
  const callsById = Map.groupBy(oracle, ({ clientRequestId }) => `rcp_${clientRequestId}`)
  return {
    receiptsById,
    callsById,
    receiptOf: (id: string): Receipt | undefined => receiptsById.get(id)?.[0],
    callsOf: (id: string): OracleCall[] => callsById.get(id) ?? [],
    /** What a call is worth by the upstream's own count. */
    costOf(call: OracleCall): bigint {
      if (call.state === 'failed') return 0n
      const { promptTokens, completionTokens, reasoningTokens } = call
      const usage = { input: promptTokens, output: completionTokens - reasoningTokens, reasoning: reasoningTokens }
      return chargeNanos(usage, linesOf(call.model))
    },
  }
}

type Books = ReturnType<typeof createBooks>

function rulesOfClients({ clients }: Evidence, books: Books): Rule[] {
  const acknowledged = clients.flatMap(({ acknowledged: told, receipt: id, tokens }) =>
    told === undefined || id === undefined ? [] : [{ ...told, id, tokens }],
  )
  const whole = acknowledged.filter(({ id }) => !ranDry(books.receiptOf(id)))
  return [
    rule('acknowledged calls have their receipt, complete and with the same charge', acknowledged, (call) => {
      const { id, charged } = call
      const receipt = books.receiptOf(id)
      if (receipt === undefined) return `${id} is lost`
      if (receipt.outcome !== 'complete' && !ranDry(receipt)) return `${id} is ${receipt.outcome}`
      return chargeOf(receipt) !== charged && `${id} says ${receipt.charged_nanousd}, the client was told ${charged}`
    }),
    rule('acknowledged answers are whole', whole, ({ id, tokens }) => {
      const visible = books.callsOf(id).map((call) => call.completionTokens - call.reasoningTokens)
      return visible[0] !== tokens && `${id}: the client has ${tokens} tokens of ${visible.join(', ')}`
    }),
    rule('a name stands for one call', namedCalls(clients), ([name, ids]) => {
      return ids.size > 1 && `${name}: ${[...ids].join(', ')}`
    }),
    rule('no client waits for ever', clients, ({ kind, receipt, hung }) => hung && `${kind} ${receipt}`),
  ]
}

function rulesOfMoney(evidence: Evidence, books: Books): Rule[] {
  const { receipts, receiptProblems, wallets, audit } = evidence
  const { receiptsById, callsById } = books
  return [
    rule('a call has one receipt', receiptsById, ([id, all]) => all.length > 1 && `${id} has ${all.length}`),
    rule('a call is dispatched once, however often it is made again', callsById, ([id, all]) => {
      return all.length > 1 && `${id} was dispatched ${all.length} times`
    }),
    rule('calls that reached the upstream have a receipt', callsById, ([id]) => {
      return !receiptsById.has(id) && `${id} has none`
    }),
    rule('what is charged was delivered', receipts, (receipt) => {
      const cost = books.callsOf(receipt.receipt_id).reduce((sum, call) => sum + books.costOf(call), 0n)
      return chargeOf(receipt) > cost && `${describe(receipt)} for ${cost}`
    }),
    rule('complete answers are charged to the nano-dollar', receipts.filter(isExact), (receipt) => {
      const [call] = books.callsOf(receipt.receipt_id)
      const cost = call === undefined ? undefined : books.costOf(call)
      return chargeOf(receipt) !== cost && `${describe(receipt)} for ${cost}`
    }),
    rule('receipts verify, without a gap', [...receipts, ...receiptProblems], (one) => typeof one === 'string' && one),
    rule('nothing is held any more', wallets, ({ name, held }) => held !== 0n && `${name} holds ${held}`),
    rule('a wallet has what it was granted less what it was charged', wallets, (wallet) => {
      const { name, granted, posted, charged } = wallet
      return granted - charged !== posted && `${name}: ${granted} - ${charged} is not ${posted}`
    }),
    { rule: 'the books balance', checked: audit.checked, bad: audit.bad.length, examples: [...audit.bad] },
  ]
}

/** A call that the sweeper had to settle for a gateway that was gone. */
interface LostCall {
  id: string
  stream: boolean
  deliveredTokens: number
  /** Delivered by the upstream and not charged. */
  nanos: bigint
  unchargedTokens: number
  /** Passed on to the client and not charged. */
  unpaidTokens: number
  recordedTokens: number
  kind: string
}

function findLost({ clients, oracle, linesOf }: Evidence, books: Books): LostCall[] {
  const clientsById = Map.groupBy(clients, ({ receipt }) => receipt)
  return oracle.flatMap((call) => {
    const receipt = books.receiptOf(`rcp_${call.clientRequestId}`)
    if (receipt?.outcome !== 'gateway_lost') return []
    const nanos = books.costOf(call) - chargeOf(receipt)
    const got = clientsById.get(receipt.receipt_id)?.[0]?.counted ?? 0
    return {
      id: receipt.receipt_id,
      stream: call.stream,
      deliveredTokens: call.completionTokens,
      nanos,
      unchargedTokens: tokensBeyondPrompt(call, nanos, linesOf(call.model)),
      unpaidTokens: Math.max(0, got - (receipt.usage.output ?? 0)),
      recordedTokens: receipt.usage.output ?? 0,
      kind: `${clientsById.get(receipt.receipt_id)?.[0]?.kind}`,
    }
  })
}

function rulesOfLoss(streams: readonly LostCall[]): Rule[] {
  return [
    rule('a killed gateway leaves at most a tranche of a stream unpaid', streams, (one) => {
      const { id, kind, unpaidTokens, recordedTokens, deliveredTokens } = one
      const figures = `${unpaidTokens} tokens unpaid, ${recordedTokens} recorded, ${deliveredTokens} delivered`
      return unpaidTokens > TRANCHE_TOKENS + READ_TOKENS && `${id} (${kind}): ${figures}`
    }),
  ]
}

function rule<T>(name: string, cases: Iterable<T>, wrong: (one: T) => string | false): Rule {
  const all = [...cases]
  const bad = all.map(wrong).filter((found) => found !== false)
  return { rule: name, checked: all.length, bad: bad.length, examples: bad.slice(0, EXAMPLES_MAX) }
}

function chargeOf(receipt: Receipt): bigint {
  return BigInt(receipt.charged_nanousd)
}

function describe(receipt: Receipt): string {
  const { receipt_id, outcome, usage_source, charged_nanousd } = receipt
  return `${receipt_id} (${outcome}, ${usage_source}): ${charged_nanousd}`
}

/** A stream that the wallet no longer covered ends as a proper answer, which says that it is cut. */
function ranDry(receipt: Receipt | undefined): boolean {
  return receipt?.outcome === 'cut_off' && receipt.reason === 'insufficient_credits'
}

/** The provider's own figures, and enough money for them. */
function isExact(receipt: Receipt): boolean {
  return receipt.outcome === 'complete' && receipt.usage_source === 'provider' && receipt.absorbed_nanousd === '0'
}

function tokensBeyondPrompt(call: OracleCall, nanos: bigint, lines: PriceLines): number {
  const beyond = nanos - chargeNanos({ input: call.promptTokens }, lines)
  return beyond <= 0n ? 0 : Number((beyond * 1_000n) / (lines.output ?? 1n))
}

function namedCalls(clients: readonly ClientRecord[]): Map<string, Set<string>> {
  const names = new Map<string, Set<string>>()
  for (const { idempotencyKey, receipt } of clients) {
    if (idempotencyKey === undefined || receipt === undefined) continue
    names.set(idempotencyKey, (names.get(idempotencyKey) ?? new Set()).add(receipt))
  }
  return names
}

function spread(tokens: number[]): { maxTokens: number; p50Tokens: number } {
  const sorted = tokens.toSorted((a, b) => a - b)
  return { maxTokens: sorted.at(-1) ?? 0, p50Tokens: sorted[sorted.length >> 1] ?? 0 }
}

function largest(list: readonly { nanos: bigint }[]): bigint {
  return list.reduce((most, { nanos }) => (nanos > most ? nanos : most), 0n)
}
