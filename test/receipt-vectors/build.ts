import { RECEIPT_VERSION } from '#billing/receipt.ts'
import type { DocumentStepName } from '#billing/verify-document.ts'
import { brokenVectors } from './broken.ts'
import { certificateVectors, type EntryVector, entryVectors } from './certificate-vectors.ts'
import { documentVectors } from './document-vectors.ts'
import { goodVectors } from './good.ts'
import { rootSigner, vectorKeys } from './keys.ts'
import { type ConsistencyVector, consistencyVectors, type LogStep, logFiles, proofVectors } from './log-vectors.ts'
import { type SetStep, setVectors } from './statement-sets.ts'

export interface VectorIndex {
  format: string
  warning: string
  keys: string
  vectors: { file: string; expect: 'ok' | 'format' | 'path' | 'signature' | 'key' | 'charge'; why: string }[]
  /** The name of the root key that a verifier of these documents knows. */
  root_key_id: string
  documents: { file: string; expect: 'ok' | DocumentStepName; why: string }[]
  /** Bundles of one entry of a certificate. */
  entries: { file: string; expect: EntryVector['expect']; why: string }[]
  sets: { file: string; expect: 'ok' | SetStep; why: string }[]
  proofs: { bundle: string; proof: string; policy: string; expect: 'ok' | LogStep; why: string }[]
  consistency: { file: string; expect: ConsistencyVector['expect']; why: string }[]
}

/** Every generated file of the vectors folder by name: the same bytes each time. */
export function buildVectors(): Map<string, string> {
  const files = new Map<string, string>([['keys.json', pretty(vectorKeys)]])
  const index: VectorIndex = {
    format: RECEIPT_VERSION,
    warning: 'The keys are published test keys. A receipt that verifies with them proves nothing.',
    keys: 'keys.json',
    vectors: [],
    root_key_id: rootSigner.keyId,
    documents: [],
    entries: [],
    sets: [],
    proofs: [],
    consistency: [],
  }
  for (const { name, why, bundle } of goodVectors) {
    index.vectors.push({ file: add(files, `good-${name}.json`, pretty(bundle)), expect: 'ok', why })
  }
  for (const { name, expect, why, text } of brokenVectors) {
    index.vectors.push({ file: add(files, `broken-${name}.json`, text), expect, why })
  }
  for (const { name, expect, why, text } of [...documentVectors, ...certificateVectors])
    index.documents.push({ file: add(files, `document-${name}.json`, text), expect, why })
  for (const { name, expect, why, text } of entryVectors)
    index.entries.push({ file: add(files, `entry-${name}.json`, text), expect, why })
  for (const { name, expect, why, text } of setVectors)
    index.sets.push({ file: add(files, `set-${name}.json`, text), expect, why })
  for (const [name, text] of logFiles) add(files, name, text)
  for (const { name: _, ...vector } of proofVectors) index.proofs.push(vector)
  for (const { name, expect, why, text } of consistencyVectors)
    index.consistency.push({ file: add(files, `consistency-${name}.json`, text), expect, why })
  files.set('index.json', pretty(index))
  return files
}

function add(files: Map<string, string>, name: string, text: string): string {
  if (files.has(name)) throw new Error(`${name} is built twice`)
  files.set(name, text)
  return name
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
