import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'

const source = new URL('../src/', import.meta.url)

test('the verifier and all it imports use nothing that a browser lacks', async () => {
  const seen = new Set<string>()
  const open = [
    'billing/verify-receipt.ts',
    'billing/verify-set.ts',
    'billing/tlog/tlog-proof.ts',
    'billing/tlog/check-consistency.ts',
    'billing/tlog/tile-path.ts',
    'billing/tlog/add-checkpoint.ts',
  ]
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    const text = await readFile(new URL(path, source), 'utf8')
    const code = text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, '')
    assert.doesNotMatch(code, /\b(?:Buffer|process|require)\b/, `${path} uses a global of Node`)
    for (const [, specifier = ''] of code.matchAll(/(?:from|import)\s*\(?'([^']+)'/g)) {
      assert.match(specifier, /^(?:#(?:billing|lib)|\.)\//, `${path} imports ${specifier}`)
      open.push(
        specifier.startsWith('#')
          ? specifier.slice(1)
          : new URL(specifier, new URL(path, source)).href.slice(source.href.length),
      )
    }
  }
  assert.ok(seen.has('lib/canonical-json.ts') && seen.has('billing/merkle-path.ts') && !seen.has('billing/merkle.ts'))
})
