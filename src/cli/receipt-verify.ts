import { parseArgs } from 'node:util'
import type { Openings } from '#billing/check-openings.ts'
import type { TlogPolicy } from '#billing/tlog/policy.ts'
import { type Report, verifyAll } from '#billing/verify-all.ts'
import { unreadable } from '#billing/verify-receipt.ts'
import {
  type BundleFile,
  isHttp,
  type KeysInput,
  readBundleFile,
  readKeys,
  readOpening,
  readPolicy,
  readProof,
} from './verify-inputs.ts'
import { printable, printReport } from './verify-report.ts'

export const summary = 'Check receipts and documents: form, batch, signature, key, charge, log, and a set together.'

export const RECEIPTS_MAX = 10_000
export const FILES_MAX = 100

export const usage = `usage: fluxgate receipt verify FILE|-... [--keys FILE|URL] [--root-key ID] [--partial] [--json]
         [--statements FILE]... [--proof FILE|URL]... [--log-vkey KEY] [--policy FILE]
         [--commit-key HEX [--request FILE] [--response FILE]]

FILE holds one bundle of a receipt or a document, an array of them, or a page as GET /v1/receipts answers it. - reads
standard input. Several files count as one list. A list has to begin at call number 1 and have every number up to its last;
a page that says that there are more needs the next page beside it. --partial: the receipts are a selection, numbers may be
missing.
--keys: public-keys.json, or key-manifest.json. --root-key: only a list that this root key signed will do.
--statements: daily statements that the receipts are compared with; they may also stand among the files.
--proof: proofs that the log has the batches, in any order. --log-vkey and --policy say which log and witnesses to trust; what a
key signed before it was revoked is good with witnesses that had seen it.
--commit-key: the key of the commitments of one receipt; --request and --response are the exact bytes that were sent and got.
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
  let inputs: Inputs
  try {
    inputs = await readInputs(deps, options)
  } catch (error) {
    deps.err.write(`${printable(error instanceof Error ? error.message : String(error))}\n`)
    return 2
  }
  const { files } = inputs
  const bundles = files.flatMap((file) => file.bundles)
  const problems = files.flatMap(({ problem }, index) =>
    problem === undefined ? [] : [files.length === 1 ? problem : `${inputs.names[index]}: ${problem}`],
  )
  if (bundles.length > RECEIPTS_MAX)
    problems.push(`there are more than ${RECEIPTS_MAX} receipts; check fewer at a time`)
  if (problems.length > 0) return printReport(deps.out, options, { receipts: problems.map(unreadable), documents: [] })
  if (bundles.length === 0) {
    deps.err.write('there is no receipt to check\n')
    return 2
  }
  if (inputs.openings !== undefined && bundles.length > 1) {
    deps.err.write('--commit-key belongs to one receipt: name one file with one bundle\n')
    return 2
  }
  return printReport(deps.out, options, await verifyFiles(inputs, bundles, options.partial))
}

interface Options {
  files: readonly string[]
  statements: readonly string[]
  keys: string
  rootKey: string | undefined
  proofs: readonly string[]
  logVkey: string | undefined
  policy: string | undefined
  commitKey: Uint8Array<ArrayBuffer> | undefined
  request: string | undefined
  response: string | undefined
  json: boolean
  partial: boolean
}

const optionTypes = {
  keys: { type: 'string' },
  'root-key': { type: 'string' },
  statements: { type: 'string', multiple: true },
  proof: { type: 'string', multiple: true },
  'log-vkey': { type: 'string' },
  policy: { type: 'string' },
  'commit-key': { type: 'string' },
  request: { type: 'string' },
  response: { type: 'string' },
  json: { type: 'boolean' },
  partial: { type: 'boolean' },
} as const

function parseOptions(args: string[], defaultKeysUrl: string | undefined): Options | { problem: string } {
  const parsed = tryParse(args)
  if (typeof parsed === 'string') return { problem: parsed }
  const { values, positionals: files } = parsed
  const statements = values.statements ?? []
  const all = [...files, ...statements]
  if (all.length === 0) return { problem: 'name a file, or - for standard input' }
  if (all.length > FILES_MAX) return { problem: `name at most ${FILES_MAX} files` }
  if (new Set(all).size < all.length) return { problem: 'name each file once' }
  const keys = values.keys ?? defaultKeysUrl
  if (keys === undefined) return { problem: 'say where the public keys are: --keys FILE or --keys URL' }
  for (const [option, where] of [['--keys', keys], ...(values.proof ?? []).map((place) => ['--proof', place] as const)])
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(where) && !isHttp(where))
      return { problem: `${option} takes an http or https URL` }
  const proofs = values.proof ?? []
  if (proofs.length > RECEIPTS_MAX) return { problem: `name at most ${RECEIPTS_MAX} proofs` }
  if (proofs.length === 0 && values.policy !== undefined) return { problem: '--policy is about a --proof: name one' }
  const hex = values['commit-key']
  if ((hex === undefined) !== (values.request === undefined && values.response === undefined))
    return { problem: '--commit-key goes with --request or --response' }
  if (hex !== undefined && !/^[0-9a-f]{64}$/i.test(hex)) return { problem: '--commit-key takes 64 hex digits' }
  return {
    files,
    statements,
    keys,
    rootKey: values['root-key'],
    proofs,
    logVkey: values['log-vkey'],
    policy: values.policy,
    commitKey: hex === undefined ? undefined : new Uint8Array(Buffer.from(hex, 'hex')),
    request: values.request,
    response: values.response,
    json: values.json === true,
    partial: values.partial === true,
  }
}

function tryParse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: optionTypes })
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

interface Inputs extends KeysInput {
  names: readonly string[]
  files: readonly BundleFile[]
  proofs: readonly string[]
  policy: TlogPolicy | undefined
  openings: Openings | undefined
  rootKeyId: string | undefined
}

async function readInputs({ stdin }: Deps, options: Options): Promise<Inputs> {
  const read = await readKeys(options.keys, options.rootKey)
  const names = [...options.files, ...options.statements]
  const files: BundleFile[] = []
  for (const name of names) files.push(await readBundleFile(name, stdin))
  const proofs: string[] = []
  for (const where of options.proofs) proofs.push(await readProof(where))
  // A policy names its logs; the list that the root key signed names the log's key only where nothing else does.
  const vkey = options.logVkey ?? (options.policy === undefined ? read.logVkey : undefined)
  const policy = proofs.length === 0 ? undefined : await readPolicy(options.policy, vkey)
  if (proofs.length > 0 && policy === undefined)
    throw new Error('a proof is of a log: say which one to trust with --log-vkey or --policy')
  const { commitKey, request, response } = options
  const openings =
    commitKey === undefined
      ? undefined
      : {
          key: commitKey,
          request: request === undefined ? undefined : await readOpening(request),
          response: response === undefined ? undefined : await readOpening(response),
        }
  return { ...read, names, files, proofs, policy, openings, rootKeyId: options.rootKey }
}

async function verifyFiles(inputs: Inputs, bundles: readonly unknown[], partial: boolean): Promise<Report> {
  const { files } = inputs
  const isOne = bundles.length === 1 && files.every((file) => !file.isList)
  return verifyAll(bundles, { ...inputs, together: !isOne, partial, pages: files })
}
