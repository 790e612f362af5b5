import { createReadStream } from 'node:fs'
import { parseArgs } from 'node:util'
import { parseReceiptKeys } from '#billing/receipt-keys.ts'
import { unreadable, type Verification, verifyBundle } from '#billing/verify-receipt.ts'
import { type SetVerification, verifySet } from '#billing/verify-set.ts'
import { readText } from '#lib/read-text.ts'
import { parseStrictJson } from '#lib/strict-json.ts'

export const summary = 'Check receipts: form, inclusion in the batch, signature, key and charge.'

export const RECEIPTS_MAX = 10_000
export const FILES_MAX = 100
export const RECEIPT_FILE_BYTES_MAX = 32 * 1024 * 1024
export const KEYS_BYTES_MAX = 1024 * 1024
const KEYS_TIMEOUT_MS = 10_000

export const usage = `usage: fluxgate receipt verify FILE|-... [--keys FILE|URL] [--partial] [--json]

FILE holds one receipt bundle, an array of them, or a page as GET /v1/receipts answers it. - reads standard input.
Several files count as one list. A list has to begin at call number 1 and have every number up to its last; a page that
says that there are more needs the next page beside it. --partial: the receipts are a selection, numbers may be missing.
Exit code: 0 all is well, 1 something failed, 2 nothing could be checked.
`

interface Deps {
  out: NodeJS.WritableStream
  err: NodeJS.WritableStream
  stdin: NodeJS.ReadableStream
  /** Where the public keys are when --keys is not given. */
  defaultKeysUrl?: string
}

/** `args` are the words after `receipt verify`. Resolves to the exit code and never throws for what it is given to read. */
export async function run(deps: Deps, args: string[]): Promise<number> {
  const options = parseOptions(args, deps.defaultKeysUrl)
  if ('problem' in options) {
    deps.err.write(`${options.problem}\n\n${usage}`)
    return 2
  }

  const files: ReceiptFile[] = []
  let keys: unknown
  try {
    keys = await readKeys(options.keys)
    for (const file of options.files) files.push(readBundles(await readFileOrStdin(file, deps.stdin)))
  } catch (error) {
    deps.err.write(`${printable(error instanceof Error ? error.message : String(error))}\n`)
    return 2
  }

  const bundles = files.flatMap((file) => file.bundles)
  const problems = files.flatMap(({ problem }, index) =>
    problem === undefined ? [] : [files.length === 1 ? problem : `${options.files[index]}: ${problem}`],
  )
  if (bundles.length > RECEIPTS_MAX)
    problems.push(`there are more than ${RECEIPTS_MAX} receipts; check fewer at a time`)
  if (problems.length > 0) return report(deps.out, options, problems.map(unreadable), undefined)
  if (bundles.length === 0) {
    deps.err.write('there is no receipt to check\n')
    return 2
  }
  const verdicts: Verification[] = []
  for (const bundle of bundles) verdicts.push(await verifyBundle(bundle, keys))
  const isOne = bundles.length === 1 && files.every((file) => !file.isList)
  return report(deps.out, options, verdicts, isOne ? undefined : compare(files, options.partial))
}

interface Options {
  files: readonly string[]
  keys: string
  json: boolean
  partial: boolean
}

function parseOptions(args: string[], defaultKeysUrl: string | undefined): Options | { problem: string } {
  let parsed: { values: { keys?: string; json?: boolean; partial?: boolean }; positionals: string[] }
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: { keys: { type: 'string' }, json: { type: 'boolean' }, partial: { type: 'boolean' } },
    })
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
  const { values, positionals: files } = parsed
  if (files.length === 0) return { problem: 'name a file, or - for standard input' }
  if (files.length > FILES_MAX) return { problem: `name at most ${FILES_MAX} files` }
  if (new Set(files).size < files.length) return { problem: 'name each file once' }
  const keys = values.keys ?? defaultKeysUrl
  if (keys === undefined) return { problem: 'say where the public keys are: --keys FILE or --keys URL' }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(keys) && !isHttp(keys)) return { problem: '--keys takes an http or https URL' }
  return { files, keys, json: values.json === true, partial: values.partial === true }
}

function isHttp(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text)
}

async function readKeys(where: string): Promise<unknown> {
  const text = await named(
    `public keys at ${where}`,
    isHttp(where) ? fetchText(where) : readPath(where, KEYS_BYTES_MAX),
  )
  return named(
    `public keys at ${where}`,
    (async () => {
      const keys = parseStrictJson(text)
      // Checked here as well: bad keys say nothing about the receipts, so this is no verdict on them.
      await parseReceiptKeys(keys)
      return keys
    })(),
  )
}

async function fetchText(url: string): Promise<string> {
  // A redirect could lead from https to http, or to somebody else's keys.
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(KEYS_TIMEOUT_MS) })
  if (!response.ok || response.body === null) throw new Error(`the server answers ${response.status}`)
  return readText(response.body, KEYS_BYTES_MAX)
}

async function readFileOrStdin(file: string, stdin: NodeJS.ReadableStream): Promise<string> {
  if (file === '-') return named('standard input', readText(stdin, RECEIPT_FILE_BYTES_MAX))
  return named(file, readPath(file, RECEIPT_FILE_BYTES_MAX))
}

async function readPath(path: string, bytesMax: number): Promise<string> {
  return readText(createReadStream(path), bytesMax)
}

/** Says what was being read when it failed, and the cause that fetch hides. */
async function named<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
    throw new Error(`cannot read ${what}: ${error instanceof Error ? error.message : String(error)}${cause}`)
  }
}

interface ReceiptFile {
  bundles: readonly unknown[]
  /** Whether it claims to be more than one bundle by itself. */
  isList: boolean
  /** The number after which its next page begins, when it says that there is one. */
  moreAfter?: number
  problem?: string
}

function readBundles(text: string): ReceiptFile {
  try {
    const value = parseStrictJson(text, RECEIPT_FILE_BYTES_MAX)
    if (Array.isArray(value)) return { bundles: value, isList: true }
    if (typeof value === 'object' && value !== null && 'data' in value) return readPage(value)
    return { bundles: [value], isList: false }
  } catch (error) {
    return { bundles: [], isList: false, problem: error instanceof Error ? error.message : String(error) }
  }
}

/** Exactly what GET /v1/receipts answers: with other members it would be unclear what was checked. */
function readPage(page: object): ReceiptFile {
  const { object, data, has_more, next_after } = page as Record<string, unknown>
  const hasNext = typeof next_after === 'number'
  if (
    Object.keys(page).sort().join() !== 'data,has_more,next_after,object' ||
    object !== 'list' ||
    !Array.isArray(data) ||
    typeof has_more !== 'boolean' ||
    !(hasNext || (next_after === null && !has_more))
  )
    throw new Error('this is no bundle, no array of bundles and no page as GET /v1/receipts answers it')
  return { bundles: data, isList: true, ...(hasNext && has_more && { moreAfter: next_after }) }
}

type Comparison = Omit<SetVerification, 'steps'> & { steps: { name: string; ok: boolean; detail: string }[] }

function compare(files: readonly ReceiptFile[], partial: boolean): Comparison {
  const { steps, accounts } = verifySet(files.flatMap((file) => file.bundles))
  const kept = partial
    ? steps.filter((step) => step.name !== 'no_gap')
    : [...steps, ...files.flatMap((file) => missingPage(file, accounts) ?? [])]
  return { ok: kept.every((step) => step.ok), steps: kept, accounts }
}

/** A page that says that there are more is complete only together with the next one, of the same account. */
function missingPage({ bundles, moreAfter }: ReceiptFile, accounts: SetVerification['accounts']) {
  if (moreAfter === undefined) return undefined
  const last = bundles.at(-1) as { receipt?: { account?: unknown } } | null | undefined
  const seen = accounts.find(({ account }) => account === last?.receipt?.account)
  if (seen !== undefined && seen.last > moreAfter) return undefined
  const detail = `the list is not complete: name GET /v1/receipts?after=${moreAfter} as another file, or use --partial`
  return { name: 'complete', ok: false, detail }
}

function report(
  out: NodeJS.WritableStream,
  { json, partial }: { json: boolean; partial: boolean },
  receipts: readonly Verification[],
  set: Comparison | undefined,
): number {
  const bad = receipts.filter((receipt) => !receipt.ok).length
  const ok = bad === 0 && set?.ok !== false
  if (json) {
    out.write(`${JSON.stringify({ ok, receipts, ...(set && { set }) })}\n`)
    return ok ? 0 : 1
  }
  for (const [index, { receipt_id, steps }] of receipts.entries()) {
    out.write(`receipt ${receipt_id ?? `${index + 1} (not readable)`}\n`)
    for (const { name, ok, reached, detail } of steps)
      out.write(line(ok ? 'ok' : reached ? 'FAIL' : '--', name, detail))
  }
  if (set !== undefined) {
    out.write(partial ? 'the receipts together, as a selection: no number was looked for\n' : 'all receipts together\n')
    for (const { name, ok, detail } of set.steps) out.write(line(ok ? 'ok' : 'FAIL', name, detail))
  }
  const verdict = ok ? 'all is well' : 'FAILED'
  out.write(`${verdict}: ${receipts.length - bad} of ${receipts.length} receipts verify\n`)
  return ok ? 0 : 1
}

function line(mark: string, name: string, detail: string): string {
  return `  ${mark.padEnd(4)}  ${name.padEnd(9)}  ${printable(detail)}\n`
}

/** Whatever a forger wrote, it cannot steer the terminal. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}
