import { RECEIPT_VERSION } from '#billing/receipt.ts'
import { brokenVectors } from './broken.ts'
import { goodVectors } from './good.ts'
import { vectorKeys } from './keys.ts'

export interface VectorIndex {
  format: string
  warning: string
  keys: string
  vectors: { file: string; expect: 'ok' | 'format' | 'path' | 'signature' | 'key' | 'charge'; why: string }[]
}

/** Every generated file of the vectors folder by name: the same bytes each time. */
export function buildVectors(): Map<string, string> {
  const files = new Map<string, string>([['keys.json', pretty(vectorKeys)]])
  const index: VectorIndex = {
    format: RECEIPT_VERSION,
    warning: 'The keys are published test keys. A receipt that verifies with them proves nothing.',
    keys: 'keys.json',
    vectors: [],
  }
  for (const { name, why, bundle } of goodVectors) {
    index.vectors.push({ file: add(files, `good-${name}.json`, pretty(bundle)), expect: 'ok', why })
  }
  for (const { name, expect, why, text } of brokenVectors) {
    index.vectors.push({ file: add(files, `broken-${name}.json`, text), expect, why })
  }
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
