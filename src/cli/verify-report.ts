import type { Report } from '#billing/verify-all.ts'

/** Prints each step by itself. Returns the exit code. */
export function printReport(
  out: NodeJS.WritableStream,
  { json, partial }: { json: boolean; partial: boolean },
  { receipts, documents, set, statements }: Report,
): number {
  const all = [...receipts, ...documents]
  const bad = all.filter(({ ok }) => !ok).length
  const ok = bad === 0 && set?.ok !== false && statements?.ok !== false
  if (json) {
    const said = { ok, receipts, ...(documents.length > 0 && { documents }), ...(set && { set }) }
    out.write(`${JSON.stringify({ ...said, ...(statements && { statements }) })}\n`)
    return ok ? 0 : 1
  }
  for (const [index, { receipt_id, steps }] of receipts.entries())
    printSteps(out, `receipt ${receipt_id ?? `${index + 1} (not readable)`}`, steps)
  for (const [index, { document_id, steps }] of documents.entries())
    printSteps(out, `document ${document_id ?? `${index + 1} (not readable)`}`, steps)
  if (set !== undefined)
    printSteps(
      out,
      partial ? 'the receipts together, as a selection: no number was looked for' : 'all receipts together',
      set.steps,
    )
  if (statements !== undefined) printSteps(out, 'receipts and statements together', statements.steps)
  const verdict = ok ? 'all is well' : 'FAILED'
  const counted = (list: Report['receipts'] | Report['documents'], name: string) =>
    list.length === 0 ? [] : [`${list.filter((one) => one.ok).length} of ${list.length} ${name} verify`]
  out.write(`${verdict}: ${[...counted(receipts, 'receipts'), ...counted(documents, 'documents')].join(', ')}\n`)
  return ok ? 0 : 1
}

function printSteps(
  out: NodeJS.WritableStream,
  title: string,
  steps: readonly { name: string; ok: boolean; reached?: boolean; detail: string }[],
): void {
  out.write(`${title}\n`)
  for (const { name, ok, reached = true, detail } of steps)
    out.write(`  ${(ok ? 'ok' : reached ? 'FAIL' : '--').padEnd(4)}  ${name.padEnd(9)}  ${printable(detail)}\n`)
}

/** Whatever a forger wrote, it cannot steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}
