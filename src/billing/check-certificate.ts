import type { Certificate, CertificateGroups, CertificateSums } from './certificate.ts'

/** Whether the figures of a certificate agree with each other. Pure arithmetic: what they are sums of is in the entries. */
export function checkCertificate(certificate: Certificate): { ok: boolean; detail: string } {
  const problem = problems(certificate).find((candidate) => candidate !== undefined)
  if (problem !== undefined) return { ok: false, detail: problem }
  const { totals, by_model, by_alias } = certificate
  const groups = by_model.groups.length + by_alias.groups.length
  return { ok: true, detail: `${totals.calls} calls, ${totals.cost_nanousd} nano-dollars, in ${groups} groups` }
}

function* problems(certificate: Certificate): Generator<string | undefined> {
  const { totals, entries, start, end, selection } = certificate
  yield totals.calls === entries.n ? undefined : 'totals.calls is not entries.n'
  yield (certificate.receipt_type === 'single') === (entries.n === 1)
    ? undefined
    : 'receipt_type is single exactly for one entry'
  yield totals.unpriced <= totals.calls ? undefined : 'more calls are unpriced than there are'
  yield start <= end ? undefined : 'the certificate ends before it starts'
  yield groupProblem('by_model', certificate.by_model, totals)
  yield groupProblem('by_alias', certificate.by_alias, totals)
  const { input_cost_nanousd: input, output_cost_nanousd: output, cost_nanousd: cost } = totals
  if (input !== undefined || output !== undefined) {
    const parts = BigInt(input ?? 0) + BigInt(output ?? 0)
    yield parts === BigInt(cost) ? undefined : 'the parts of the cost do not make up the cost'
  }
  const { log_ids: logs } = entries
  if (logs !== undefined) {
    yield logs.length === entries.n && new Set(logs).size === logs.length
      ? undefined
      : 'entries.log_ids does not list each entry once'
  }
  yield certificate.conversations <= entries.n ? undefined : 'there are more conversations than calls'
  const { conversation_ids: conversations } = certificate
  if (conversations !== undefined) {
    yield conversations.length === certificate.conversations && isAscending(conversations)
      ? undefined
      : 'conversation_ids does not list each conversation once, in order'
  }
  if (selection.mode === 'range') {
    // As text, a time with microseconds compares with one with milliseconds up to the letter after the third digit.
    yield start.slice(0, 23) >= selection.start.slice(0, 23) && end.slice(0, 23) < selection.end.slice(0, 23)
      ? undefined
      : 'an entry lies outside of the selected range'
  }
}

function groupProblem(name: string, { groups, rest }: CertificateGroups<object>, totals: CertificateSums) {
  const all = rest === undefined ? groups : [...groups, rest]
  for (const member of ['calls', 'input_tokens', 'output_tokens', 'cost_nanousd', 'unpriced'] as const) {
    const sum = all.reduce((total, group) => total + BigInt(group[member]), 0n)
    if (sum !== BigInt(totals[member])) return `${name}: ${member} does not sum to the total`
  }
  return undefined
}

function isAscending(texts: readonly string[]): boolean {
  return texts.every((text, index) => index === 0 || (texts[index - 1] ?? '') < text)
}
