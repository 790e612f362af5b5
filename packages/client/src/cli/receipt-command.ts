import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { parseStrictJson } from '../../../../src/lib/strict-json.ts'
import { fetchReceiptKeys, type ReceiptKeys, readReceiptKeys, verifyReceiptSet } from '../receipts.ts'
import { gatewayUrl } from './open-gateway-api.ts'
import type { Arguments, Deps } from './run-cli.ts'
import { printable } from './table.ts'
import { WrongUse } from './wrong-use.ts'

const FILE_BYTES_MAX = 32 * 1024 * 1024
const RECEIPTS_MAX = 10_000

/** Checks receipts offline, but for the keys. A file holds a bundle, a list of bundles, or a page as GET /v1/receipts answers it. */
export async function receiptVerify(args: Arguments, deps: Deps): Promise<number> {
  const keys = await readKeys(args, deps)
  const bundles: unknown[] = []
  let isList = args.words.length > 1
  let moreAfter: number | undefined
  for (const file of args.words) {
    const read = readBundles(await readText(file, deps), file)
    bundles.push(...read.bundles)
    isList ||= read.isList
    if (read.moreAfter !== undefined) moreAfter = Math.max(moreAfter ?? 0, read.moreAfter)
  }
  if (bundles.length === 0) throw new WrongUse('there is no receipt to check')
  if (bundles.length > RECEIPTS_MAX)
    throw new WrongUse(`there are more than ${RECEIPTS_MAX} receipts; check fewer at a time`)

  const { receipts, set } = await verifyReceiptSet(bundles, keys)
  const isCut = moreAfter !== undefined && !set.accounts.some(({ last }) => last > moreAfter)
  const steps = [
    ...set.steps.filter(({ name }) => !args.isPartial || name !== 'no_gap'),
    ...(isCut && !args.isPartial
      ? [
          {
            name: 'complete',
            ok: false,
            detail: `there are more: name GET /v1/receipts?after=${moreAfter} as another file`,
          },
        ]
      : []),
  ]
  const bad = receipts.filter(({ ok }) => !ok).length
  const isGood = bad === 0 && (!isList || steps.every(({ ok }) => ok))
  if (args.isJson) {
    await deps.out(`${JSON.stringify({ ok: isGood, receipts, ...(isList && { set: { ...set, steps } }) })}\n`)
    return isGood ? 0 : 1
  }
  for (const [index, receipt] of receipts.entries()) {
    await deps.out(`receipt ${receipt.receipt_id ?? `${index + 1} (not readable)`}\n`)
    for (const step of receipt.steps) await deps.out(line(step.ok ? 'ok' : step.reached ? 'FAIL' : '--', step))
  }
  if (isList) {
    await deps.out('all receipts together\n')
    for (const step of steps) await deps.out(line(step.ok ? 'ok' : 'FAIL', step))
  }
  await deps.out(
    `${isGood ? 'all is well' : 'FAILED'}: ${receipts.length - bad} of ${receipts.length} receipts verify\n`,
  )
  return isGood ? 0 : 1
}

async function readKeys(args: Arguments, deps: Deps): Promise<ReceiptKeys> {
  const named = args.values.keys
  if (named === undefined) {
    const url = gatewayUrl(args, deps)
    if (url === undefined) throw new WrongUse('say where the public keys are: --keys FILE, --keys URL, or FLUXGATE_URL')
    return await fetchReceiptKeys(url)
  }
  if (!/^https?:\/\//i.test(named)) return await readReceiptKeys(await readText(named, deps))
  // The address of the document itself will do, and that of the gateway.
  return await fetchReceiptKeys(named.replace(/\/receipts\/public-keys\.json\/?$/, ''))
}

async function readText(path: string, deps: Deps): Promise<string> {
  try {
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of createReadStream(resolve(deps.cwd, path))) {
      length += chunk.byteLength
      if (length > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX} bytes`)
      chunks.push(chunk)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch (error) {
    throw new WrongUse(`cannot read ${printable(path)}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

interface ReceiptFile {
  bundles: readonly unknown[]
  isList: boolean
  moreAfter?: number
}

/** What is no JSON is one bundle that does not verify: the verdict says why. */
function readBundles(text: string, file: string): ReceiptFile {
  let value: unknown
  try {
    value = parseStrictJson(text, FILE_BYTES_MAX)
  } catch {
    return { bundles: [text], isList: false }
  }
  if (Array.isArray(value)) return { bundles: value, isList: true }
  if (typeof value !== 'object' || value === null || !('data' in value)) return { bundles: [value], isList: false }
  const { data, has_more, next_after } = value as Record<string, unknown>
  if (!Array.isArray(data) || typeof has_more !== 'boolean')
    throw new WrongUse(`${printable(file)} is no bundle, no list of bundles and no page as GET /v1/receipts answers it`)
  return {
    bundles: data,
    isList: true,
    ...(has_more && { moreAfter: typeof next_after === 'number' ? next_after : 0 }),
  }
}

function line(mark: string, { name, detail }: { name: string; detail: string }): string {
  return `  ${mark.padEnd(4)}  ${name.padEnd(9)}  ${printable(detail)}\n`
}
