import { parseCanonicalJson } from '#lib/canonical-json.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import { CERTIFICATE_VERSION, type Certificate, parseCertificate } from './certificate.ts'
import { checkCertificate } from './check-certificate.ts'
import { type Field, isRecord, wrongField } from './fields.ts'
import {
  checkManifest,
  checkRootSignature,
  type KeyManifest,
  MANIFEST_VERSION,
  manifestFields,
} from './key-manifest.ts'
import { readBundle } from './read-bundle.ts'
import { checkStatement, STATEMENT_VERSION, type Statement, statementFields } from './statement.ts'
import {
  checkKey,
  checkPath,
  checkSignature,
  failed,
  findKey,
  messageOf,
  notReached,
  passed,
  type VerifyStep,
} from './verify-steps.ts'

/** Characters of the canonical text of a document: what the database keeps at most. */
const DOCUMENT_CHARS_MAX = 262_144
const DOCUMENT_BUNDLE_CHARS_MAX = DOCUMENT_CHARS_MAX + 16_384

export type SignedDocument = Statement | KeyManifest | Certificate

export type DocumentStepName = 'format' | 'path' | 'signature' | 'key' | 'content' | 'root'

/** `ok` only when every step is. `document` is there when it could be read. */
export interface DocumentVerification {
  ok: boolean
  document_id?: string
  document?: SignedDocument
  steps: readonly VerifyStep<DocumentStepName>[]
}

export interface DocumentPolicy {
  /** When witnesses had seen the batch in the log. */
  witnessedAt?: string | undefined
  /** The name of the root key that the verifier knows from elsewhere. */
  rootKeyId?: string | undefined
}

interface Kind {
  /** Throws Error that names the field. */
  parse(value: Record<string, unknown>): SignedDocument
  /** Whether the document agrees with itself. */
  check(document: SignedDocument): Promise<{ ok: boolean; detail: string }>
}

const kinds: Readonly<Record<SignedDocument['v'], Kind>> = {
  [STATEMENT_VERSION]: {
    parse: (value) => exactly(value, statementFields),
    check: async (document) => checkStatement(document as Statement),
  },
  [MANIFEST_VERSION]: {
    parse: (value) => exactly(value, manifestFields),
    check: (document) => checkManifest(document as KeyManifest),
  },
  [CERTIFICATE_VERSION]: {
    parse: parseCertificate,
    check: async (document) => checkCertificate(document as Certificate),
  },
}

/**
 * Checks the bundle of a signed document, `{"batch": …, "document": …}`, against a keys document, both as parsed JSON. Never
 * throws. A list of keys has a sixth step: the signature of the root key.
 */
export async function verifyDocumentBundle(
  bundle: unknown,
  keys: unknown,
  policy: DocumentPolicy = {},
): Promise<DocumentVerification> {
  const reading = { member: 'document', charsMax: DOCUMENT_BUNDLE_CHARS_MAX, parse: parseDocument } as const
  const { text, signed: document, batch, problem } = readBundle(bundle, reading)
  const key = await findKey(keys, batch)
  const steps: VerifyStep<DocumentStepName>[] = [
    problem === undefined ? passed('format', `${document?.v} ${document?.document_id}`) : failed('format', problem),
    await checkPath(text, batch),
    await checkSignature(batch, key),
    checkKey(batch, key, { issuedAt: document?.issued_at, witnessedAt: policy.witnessedAt }),
    await content(document),
  ]
  if (document?.v === MANIFEST_VERSION) steps.push(await root(document, policy.rootKeyId))
  const ok = steps.every((step) => step.ok)
  return document === undefined ? { ok, steps } : { ok, document_id: document.document_id, document, steps }
}

/** The same for the text of a bundle, read strictly. */
export async function verifyDocumentText(
  text: string,
  keys: unknown,
  policy: DocumentPolicy = {},
): Promise<DocumentVerification> {
  let bundle: unknown
  try {
    bundle = parseStrictJson(text, DOCUMENT_BUNDLE_CHARS_MAX)
  } catch (error) {
    return unreadableDocument(messageOf(error))
  }
  return verifyDocumentBundle(bundle, keys, policy)
}

function unreadableDocument(detail: string): DocumentVerification {
  const rest = ['path', 'signature', 'key', 'content'] as const
  const steps = rest.map((name) => notReached(name, 'the bundle is not readable'))
  return { ok: false, steps: [failed('format', detail), ...steps] }
}

/** Reads the canonical text of a document of a known kind, to the letter. Throws Error that names the field. */
export function parseDocument(text: string): SignedDocument {
  const value = parseCanonicalJson(text, DOCUMENT_CHARS_MAX)
  if (!isRecord(value)) throw new Error('the document is not an object')
  if (typeof value.v !== 'string' || !Object.hasOwn(kinds, value.v))
    throw new Error('v is no version that this verifier knows')
  return kinds[value.v as SignedDocument['v']].parse(value)
}

function exactly(value: Record<string, unknown>, fields: Readonly<Record<string, Field>>): SignedDocument {
  const problem = wrongField(value, fields)
  if (problem !== undefined) throw new Error(problem.message)
  return value as unknown as SignedDocument
}

async function content(document: SignedDocument | undefined): Promise<VerifyStep<'content'>> {
  if (document === undefined) return notReached('content', 'the document is not readable')
  try {
    return { name: 'content', reached: true, ...(await kinds[document.v].check(document)) }
  } catch (error) {
    return failed('content', messageOf(error))
  }
}

async function root(manifest: KeyManifest, trusted: string | undefined): Promise<VerifyStep<'root'>> {
  try {
    return { name: 'root', reached: true, ...(await checkRootSignature(manifest, trusted)) }
  } catch (error) {
    return failed('root', messageOf(error))
  }
}
