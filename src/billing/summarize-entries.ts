import {
  type Certificate,
  type CertificateGroups,
  type CertificateSums,
  type CertificateTotals,
  GROUPS_NAMED_MAX,
  IDS_LISTED_MAX,
} from './certificate.ts'
import type { LogEntry } from './log-entry.ts'

/** What a certificate says about its entries, beyond their root. */
export type EntriesSummary = Pick<
  Certificate,
  | 'receipt_type'
  | 'alias_name'
  | 'model_used'
  | 'provider'
  | 'profile'
  | 'totals'
  | 'start'
  | 'end'
  | 'by_model'
  | 'by_alias'
  | 'conversations'
  | 'conversation_ids'
>

/** The parts of the cost of one entry, in nano-dollars. */
export interface CostParts {
  input: bigint
  output: bigint
}

/**
 * Sums up entries, at least one, in the order of their leaves. `split` tells the parts of a known cost; undefined where
 * they are not known.
 */
export function summarizeEntries(
  entries: readonly LogEntry[],
  split: (entry: LogEntry) => CostParts | undefined = () => undefined,
): EntriesSummary {
  const [first] = entries
  const last = entries.at(-1)
  if (first === undefined || last === undefined) throw new RangeError('there is nothing to sum up')
  const conversations = [...new Set(entries.flatMap((entry) => entry.conversation_id ?? []))].sort()
  return {
    receipt_type: entries.length === 1 ? 'single' : 'batch',
    ...common(entries, 'alias_name'),
    ...common(entries, 'model_used'),
    ...common(entries, 'provider'),
    ...common(entries, 'profile'),
    totals: { ...totalsOf(entries), ...partsOf(entries, split) },
    start: first.occurred_at,
    end: last.occurred_at,
    by_model: groupBy(entries, 'model_used'),
    by_alias: groupBy(entries, 'alias_name'),
    conversations: conversations.length,
    ...(conversations.length <= IDS_LISTED_MAX && { conversation_ids: conversations }),
  }
}

/** The order of the leaves: by time, then by id. */
export function compareEntries(left: LogEntry, right: LogEntry): number {
  if (left.occurred_at !== right.occurred_at) return left.occurred_at < right.occurred_at ? -1 : 1
  return left.log_id < right.log_id ? -1 : left.log_id > right.log_id ? 1 : 0
}

function common<Name extends 'alias_name' | 'model_used' | 'provider' | 'profile'>(
  entries: readonly LogEntry[],
  name: Name,
): { [N in Name]?: string } {
  const value = entries[0]?.[name]
  if (value === undefined || !entries.every((entry) => entry[name] === value)) return {}
  return { [name]: value } as { [N in Name]?: string }
}

function totalsOf(entries: readonly LogEntry[]): CertificateTotals {
  return {
    ...sumsOf(entries),
    cached_input_tokens: entries.reduce((sum, entry) => sum + entry.cached_input_tokens, 0),
  }
}

function sumsOf(entries: readonly LogEntry[]): CertificateSums {
  let [input, output, unpriced] = [0, 0, 0]
  let cost = 0n
  for (const entry of entries) {
    input += entry.input_tokens
    output += entry.output_tokens
    if (entry.cost_nanousd === undefined) unpriced += 1
    else cost += BigInt(entry.cost_nanousd)
  }
  return { calls: entries.length, input_tokens: input, output_tokens: output, cost_nanousd: `${cost}`, unpriced }
}

function partsOf(
  entries: readonly LogEntry[],
  split: (entry: LogEntry) => CostParts | undefined,
): { input_cost_nanousd?: string; output_cost_nanousd?: string } {
  let [input, output] = [0n, 0n]
  for (const entry of entries) {
    if (entry.cost_nanousd === undefined) continue
    const parts = split(entry)
    if (parts === undefined || parts.input + parts.output !== BigInt(entry.cost_nanousd)) return {}
    input += parts.input
    output += parts.output
  }
  return { input_cost_nanousd: `${input}`, output_cost_nanousd: `${output}` }
}

type Group<Name extends string> = CertificateSums & { [N in Name]: string }

function groupBy<Name extends 'model_used' | 'alias_name'>(
  entries: readonly LogEntry[],
  name: Name,
): CertificateGroups<{ [N in Name]: string }> {
  const members = new Map<string | undefined, LogEntry[]>()
  for (const entry of entries) {
    const value: string | undefined = entry[name]
    const group = members.get(value)
    if (group === undefined) members.set(value, [entry])
    else group.push(entry)
  }
  const all = [...members].map(
    ([value, group]) => ({ ...(value !== undefined && { [name]: value }), ...sumsOf(group) }) as Group<Name>,
  )
  all.sort((left, right) => compareGroups(left, right, name))
  const beyond = all.slice(GROUPS_NAMED_MAX)
  if (beyond.length === 0) return { groups: all }
  const rest = all.slice(GROUPS_NAMED_MAX).reduce<CertificateSums>(addSums, {
    calls: 0,
    input_tokens: 0,
    output_tokens: 0,
    cost_nanousd: '0',
    unpriced: 0,
  })
  return { groups: all.slice(0, GROUPS_NAMED_MAX), rest: { ...rest, groups: beyond.length } }
}

/** A group without a name comes before those with one. Names compare by UTF-16 code units. */
function compareGroups<Name extends string>(left: Group<Name>, right: Group<Name>, name: Name): number {
  const costs = BigInt(right.cost_nanousd) - BigInt(left.cost_nanousd)
  if (costs !== 0n) return costs > 0n ? 1 : -1
  if (left.calls !== right.calls) return right.calls - left.calls
  return (left[name] ?? '') < (right[name] ?? '') ? -1 : 1
}

function addSums(sum: CertificateSums, group: CertificateSums): CertificateSums {
  return {
    calls: sum.calls + group.calls,
    input_tokens: sum.input_tokens + group.input_tokens,
    output_tokens: sum.output_tokens + group.output_tokens,
    cost_nanousd: `${BigInt(sum.cost_nanousd) + BigInt(group.cost_nanousd)}`,
    unpriced: sum.unpriced + group.unpriced,
  }
}
