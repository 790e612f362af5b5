import { atOffset, isoformat, parseIsoTime } from '#lib/iso-time.ts'
import type { Certificate, CertificateGroups, CertificateSums } from './certificate.ts'
import type { LlmringReceipt } from './llmring-receipt.ts'
import { type PriceLines, parseLines } from './price.ts'
import type { Receipt } from './receipt.ts'
import { completionKinds, completionTokens, promptKinds, promptTokens, type Usage } from './usage.ts'

// How a receipt or a certificate of ours looks to clients of llmring. Everything here follows from the signed document
// alone, so that a verifier can tell whether any member of the answer was altered.

const PICO_PER_NANO = 1_000n

/** What llmring shows beside the thirteen members, and what we add. None of it is covered by the signature of the profile. */
interface LlmringDisplay {
  receipt_type: 'single' | 'batch'
  batch_summary: Record<string, unknown> | null
  description: string | null
  tags: readonly string[] | null
  /** `gateway`: the operator served and charged it. `reported`: a client said so. */
  source: 'gateway' | 'reported'
  project_key: string
  alias_name: string | null
  model_used: string | null
  total_cost_nanousd: string
  /** Calls whose cost is not known; they are not in the sums. */
  unpriced: number
  /** Whether `input_cost` and `output_cost` are the parts of `total_cost`, or unknown and therefore 0. */
  cost_split: boolean
}

export interface LlmringView {
  fields: LlmringReceipt
  display: LlmringDisplay
}

/** The receipt of one call through the gateway. Its cost is what was charged. */
export function viewOfReceipt(receipt: Receipt): LlmringView {
  const { usage, charged_nanousd } = receipt
  const split = splitCharge(receipt)
  return {
    fields: {
      receipt_id: receipt.receipt_id,
      timestamp: pythonTime(receipt.issued_at),
      alias: receipt.alias_name ?? 'default',
      profile: receipt.profile ?? 'default',
      lock_digest: receipt.lock_digest ?? '',
      provider: receipt.provider,
      model: receipt.model_used,
      prompt_tokens: promptTokens(usage),
      completion_tokens: completionTokens(usage),
      total_tokens: promptTokens(usage) + completionTokens(usage),
      input_cost: dollars(split?.input ?? 0n),
      output_cost: dollars(split?.output ?? 0n),
      total_cost: dollars(charged_nanousd),
    },
    display: {
      receipt_type: 'single',
      batch_summary: null,
      description: null,
      tags: null,
      source: 'gateway',
      project_key: receipt.project_key,
      alias_name: receipt.alias_name ?? null,
      model_used: receipt.model_used,
      total_cost_nanousd: charged_nanousd,
      unpriced: 0,
      cost_split: split !== undefined,
    },
  }
}

/** A certificate about reported usage. */
export function viewOfCertificate(certificate: Certificate): LlmringView {
  const { totals, receipt_type } = certificate
  return {
    fields: {
      receipt_id: certificate.document_id,
      timestamp: pythonTime(certificate.issued_at),
      alias: certificate.alias_name ?? 'default',
      profile: certificate.profile ?? 'default',
      lock_digest: '',
      provider: certificate.provider ?? 'multiple',
      model: receipt_type === 'single' ? (certificate.model_used ?? '') : `batch:${totals.calls} calls`,
      prompt_tokens: totals.input_tokens,
      completion_tokens: totals.output_tokens,
      total_tokens: totals.input_tokens + totals.output_tokens,
      input_cost: dollars(totals.input_cost_nanousd ?? 0n),
      output_cost: dollars(totals.output_cost_nanousd ?? 0n),
      total_cost: dollars(totals.cost_nanousd),
    },
    display: {
      receipt_type,
      batch_summary: receipt_type === 'batch' ? batchSummary(certificate) : null,
      description: certificate.description ?? null,
      tags: certificate.tags ?? null,
      source: 'reported',
      project_key: certificate.project_key,
      alias_name: certificate.alias_name ?? null,
      model_used: certificate.model_used ?? null,
      total_cost_nanousd: totals.cost_nanousd,
      unpriced: totals.unpriced,
      cost_split: totals.input_cost_nanousd !== undefined,
    },
  }
}

function batchSummary(certificate: Certificate): Record<string, unknown> {
  const { totals, by_model, by_alias } = certificate
  return {
    total_conversations: certificate.conversations,
    total_calls: totals.calls,
    total_tokens: totals.input_tokens + totals.output_tokens,
    total_cost: dollars(totals.cost_nanousd),
    start_date: pythonTime(certificate.start),
    end_date: pythonTime(certificate.end),
    by_model: namedGroups(by_model, 'model_used'),
    by_alias: namedGroups(by_alias, 'alias_name'),
    conversation_ids: certificate.conversation_ids ?? null,
    log_ids: certificate.entries.log_ids ?? null,
  }
}

/** Groups by their names, as llmring shows them. A group without a name, and what is not named, it does not show. */
export function namedGroups<Name extends string>(
  { groups }: CertificateGroups<{ [N in Name]?: string }>,
  name: Name,
): Record<string, { calls: number; cost: number; tokens: number }> {
  return Object.fromEntries(
    groups.flatMap((group) => {
      const key: string | undefined = group[name]
      return key === undefined ? [] : [[key, shownGroup(group)] as const]
    }),
  )
}

function shownGroup(group: CertificateSums): { calls: number; cost: number; tokens: number } {
  return {
    calls: group.calls,
    cost: dollars(group.cost_nanousd),
    tokens: group.input_tokens + group.output_tokens,
  }
}

/**
 * What of the charge is for the prompt and what for the answer. Undefined where the price lines do not tell: only a part was
 * charged, a minimum or a flat price applied, or units were used that belong to neither.
 */
function splitCharge(receipt: Receipt): { input: bigint; output: bigint } | undefined {
  const parts = splitCost(receipt.usage, parseLines(receipt.price.lines))
  const charged = BigInt(receipt.charged_nanousd)
  return parts !== undefined && parts.input + parts.output === charged ? parts : undefined
}

/**
 * What usage costs by these lines, in nano-dollars, as two whole parts. The one rounding, upward, goes to the answer if it
 * cost anything, else to the prompt. Undefined where a line is missing or units that are no tokens cost something.
 */
export function splitCost(usage: Usage, lines: PriceLines): { input: bigint; output: bigint } | undefined {
  const input = picoOf(usage, lines, promptKinds)
  const output = picoOf(usage, lines, completionKinds)
  const other = picoOf(usage, lines, ['characters', 'seconds', 'calls'])
  if (input === undefined || output === undefined || other !== 0n) return undefined
  const total = (input + output + PICO_PER_NANO - 1n) / PICO_PER_NANO
  const promptNanos = output === 0n ? total : input / PICO_PER_NANO
  return { input: promptNanos, output: total - promptNanos }
}

function picoOf(
  usage: Usage,
  lines: PriceLines,
  kinds: readonly (keyof Usage & keyof PriceLines)[],
): bigint | undefined {
  let sum = 0n
  for (const kind of kinds) {
    const units = usage[kind] ?? 0
    if (units === 0) continue
    const line = lines[kind]
    if (line === undefined) return undefined
    sum += BigInt(units) * line
  }
  return sum
}

/** The double that is nearest to so many nano-dollars in dollars. */
export function dollars(nanos: bigint | string): number {
  return Number(`${nanos}e-9`)
}

/** A UTC time of ours as Python prints it. */
export function pythonTime(text: string): string {
  const time = parseIsoTime(text)
  const printed = time && isoformat(atOffset(time, 0))
  if (printed === undefined) throw new RangeError('a signed time can be printed')
  return printed
}
