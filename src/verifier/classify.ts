import { type BundlePage, readPage } from '#billing/bundle-page.ts'
import { MANIFEST_VERSION } from '#billing/key-manifest.ts'
import { parseStrictJson } from '#lib/strict-json.ts'

/** Characters of one text that is given to the page. */
export const ITEM_CHARS_MAX = 32 * 1024 * 1024

/** What a text is, told by its own look: whoever pastes something need not say. */
export type Item =
  | { kind: 'bundles'; bundles: readonly unknown[]; label: string; page?: BundlePage }
  | { kind: 'keys'; keys: unknown; label: string }
  | { kind: 'manifest'; bundle: unknown; label: string }
  | { kind: 'proof'; text: string; label: string }
  | { kind: 'policy'; text: string; label: string }
  | { kind: 'unreadable'; problem: string; label: string }

export function classify(text: string): Item {
  if (text.startsWith('c2sp.org/tlog-proof@')) return { kind: 'proof', text, label: 'a proof of the log' }
  if (/^\s*(#.*\n\s*)*(log|witness|group|quorum)[ \t]/.test(text)) return { kind: 'policy', text, label: 'a policy' }
  if (/^\s*[^\s+{]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+\s*$/.test(text))
    return { kind: 'policy', text: `log ${text.trim()}\nquorum none\n`, label: 'the key of a log' }
  try {
    return classifyJson(parseStrictJson(text, ITEM_CHARS_MAX))
  } catch (error) {
    return {
      kind: 'unreadable',
      problem: error instanceof Error ? error.message : 'it is not readable',
      label: 'nothing known',
    }
  }
}

function classifyJson(value: unknown): Item {
  if (Array.isArray(value))
    return { kind: 'bundles', bundles: value, label: `a list of ${value.length} bundles`, page: { bundles: value } }
  if (typeof value !== 'object' || value === null)
    throw new Error('this is no receipt, no document and no list of keys')
  if ('keys' in value && 'current_key_id' in value) return { kind: 'keys', keys: value, label: 'a list of keys' }
  if ('data' in value) {
    const page = readPage(value)
    return { kind: 'bundles', bundles: page.bundles, label: `a page of ${page.bundles.length} bundles`, page }
  }
  if ('document' in value) {
    const version: unknown = Reflect.get(Object(value.document), 'v')
    if (version === MANIFEST_VERSION)
      return { kind: 'manifest', bundle: value, label: 'a list of keys signed by a root key' }
    return { kind: 'bundles', bundles: [value], label: 'a document' }
  }
  if ('receipt' in value) return { kind: 'bundles', bundles: [value], label: 'a receipt' }
  throw new Error('this is no receipt, no document and no list of keys')
}
