import { createReadStream } from 'node:fs'
import { type BundlePage, readPage } from '#billing/bundle-page.ts'
import { checkManifest, checkRootSignature, MANIFEST_VERSION } from '#billing/key-manifest.ts'
import { parseReceiptKeys } from '#billing/receipt-keys.ts'
import { parseTlogPolicy, policyOf, type TlogPolicy } from '#billing/tlog/policy.ts'
import { parseVerifierKey } from '#billing/tlog/verifier-key.ts'
import { parseDocument } from '#billing/verify-document.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { readText } from '#lib/read-text.ts'
import { parseStrictJson } from '#lib/strict-json.ts'

export const RECEIPT_FILE_BYTES_MAX = 32 * 1024 * 1024
export const KEYS_BYTES_MAX = 1024 * 1024
const PROOF_BYTES_MAX = 1024 * 1024
const POLICY_BYTES_MAX = 65_536
const OPENING_BYTES_MAX = 512 * 1024 * 1024
const FETCH_TIMEOUT_MS = 10_000

/** What a file claims to be: bundles of receipts and documents. */
export interface BundleFile extends BundlePage {
  /** Whether it claims to be more than one bundle by itself. */
  isList: boolean
  problem?: string
}

/** The public keys, and the log's where a list that the root key signed names it. */
export interface KeysInput {
  keys: unknown
  logVkey?: string
  /** Which root key signed the list; absent for a plain one. */
  signedBy?: string
}

export function isHttp(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text)
}

/**
 * Reads the public keys: a list as public-keys.json, or a bundle as key-manifest.json, whose root signature is checked here.
 * Throws Error: bad keys say nothing about receipts, so they are no verdict on them.
 */
export async function readKeys(where: string, rootKeyId: string | undefined): Promise<KeysInput> {
  const what = `public keys at ${where}`
  const text = await named(what, isHttp(where) ? fetchText(where, KEYS_BYTES_MAX) : readPath(where, KEYS_BYTES_MAX))
  return named(what, interpretKeys(parseLater(text), rootKeyId))
}

async function interpretKeys(read: () => unknown, rootKeyId: string | undefined): Promise<KeysInput> {
  const value = read()
  if (typeof value !== 'object' || value === null || !('document' in value)) {
    if (rootKeyId !== undefined) throw new Error('they are not a list that a root key signed')
    await parseReceiptKeys(value)
    return { keys: value }
  }
  const manifest = parseDocument(canonicalJson(value.document))
  if (manifest.v !== MANIFEST_VERSION) throw new Error('this document is no list of keys')
  for (const { ok, detail } of [await checkManifest(manifest), await checkRootSignature(manifest, rootKeyId)])
    if (!ok) throw new Error(detail)
  return {
    keys: { current_key_id: manifest.current_key_id, keys: manifest.keys },
    signedBy: manifest.root_key_id,
    ...(manifest.log_vkey !== undefined && { logVkey: manifest.log_vkey }),
  }
}

/** The policy of a file, or the one log of a vkey. */
export async function readPolicy(
  policy: string | undefined,
  vkey: string | undefined,
): Promise<TlogPolicy | undefined> {
  if (policy === undefined && vkey === undefined) return undefined
  const read = policy === undefined ? undefined : await named(policy, readPath(policy, POLICY_BYTES_MAX))
  const parsed = read === undefined ? undefined : await named(policy ?? '', parseTlogPolicy(read))
  if (vkey === undefined) return parsed
  const log = await named('the log key', parseVerifierKey(vkey.trim()))
  if (parsed === undefined) return policyOf(log)
  return { ...parsed, logs: [...parsed.logs.filter(({ name }) => name !== log.name), log] }
}

export async function readProof(where: string): Promise<string> {
  const what = `proof at ${where}`
  return named(what, isHttp(where) ? fetchText(where, PROOF_BYTES_MAX) : readPath(where, PROOF_BYTES_MAX))
}

/** The exact bytes of a request or an answer. */
export async function readOpening(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return named(
    path,
    (async () => {
      const chunks: Buffer[] = []
      let bytes = 0
      for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
        bytes += chunk.byteLength
        if (bytes > OPENING_BYTES_MAX) throw new Error(`it is longer than ${OPENING_BYTES_MAX} bytes`)
        chunks.push(chunk)
      }
      return new Uint8Array(Buffer.concat(chunks))
    })(),
  )
}

export async function readBundleFile(path: string, stdin: NodeJS.ReadableStream): Promise<BundleFile> {
  const text = await (path === '-'
    ? named('standard input', readText(stdin, RECEIPT_FILE_BYTES_MAX))
    : named(path, readPath(path, RECEIPT_FILE_BYTES_MAX)))
  try {
    const value = parseStrictJson(text, RECEIPT_FILE_BYTES_MAX)
    if (Array.isArray(value)) return { bundles: value, isList: true }
    if (typeof value === 'object' && value !== null && 'data' in value) return { ...readPage(value), isList: true }
    return { bundles: [value], isList: false }
  } catch (error) {
    return { bundles: [], isList: false, problem: error instanceof Error ? error.message : String(error) }
  }
}

function parseLater(text: string): () => unknown {
  return () => parseStrictJson(text)
}

async function fetchText(url: string, bytesMax: number): Promise<string> {
  // A redirect could lead from https to http, or to somebody else's keys.
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) })
  if (!response.ok || response.body === null) throw new Error(`the server answers ${response.status}`)
  return readText(response.body, bytesMax)
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
