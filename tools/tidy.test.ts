// Checks the tree itself. If a rule stings, change the rule here, in the same commit, and say why.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { errorCodes } from '#src/errors.ts'

const LINES_MAX = 400

/** What each folder may import at run time. ARCHITECTURE.md says why. */
const mayImport: Record<string, readonly string[]> = {
  lib: [],
  billing: ['lib'],
  verifier: ['lib', 'billing'],
  wire: ['lib', 'billing'],
  db: ['lib'],
  adapters: ['lib'],
  domain: ['db', 'lib', 'billing'],
  gateway: ['domain', 'wire', 'billing', 'lib'],
  routes: ['gateway', 'domain', 'wire', 'billing', 'verifier', 'lib'],
  importer: ['domain', 'db', 'billing', 'lib', 'client'], // client: the one that reads and writes lockfiles, of packages/.
  cli: ['importer', 'domain', 'db', 'billing', 'verifier', 'lib', 'simulator'],
  simulator: ['lib', 'billing'],
  compose: ['adapters', 'gateway', 'domain', 'db', 'simulator', 'wire', 'lib'],
}

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => file !== '' && existsSync(file))
const sources = tracked.filter((file) => /^src\/.*\.ts$/.test(file))
const packaged = tracked.filter((file) => /^packages\/\w+\/src\/.*\.ts$/.test(file))
const code = tracked.filter((file) => /^(src|test|tools|bench|bin|packages)\/.*\.[jt]s$/.test(file))
const documents = tracked.filter((file) => file.endsWith('.md'))

test('every folder of src keeps its promise about what it imports', () => {
  const broken: string[] = []
  for (const file of sources.filter((name) => !name.endsWith('.test.ts'))) {
    const layer = file.split('/')[1] ?? ''
    if (layer.endsWith('.ts')) continue // The composition root knows every part.
    const allowed = mayImport[layer]
    assert(allowed, `src/${layer}/ is a new folder: add it here and to ARCHITECTURE.md`)
    for (const { typeOnly, specifier } of importsOf(readFileSync(file, 'utf8'))) {
      if (specifier.startsWith('../')) broken.push(`${file} climbs out of its folder: ${specifier}`)
      const target = /^#(\w+)\//.exec(specifier)?.[1]
      if (target === undefined || target === layer) continue
      if (specifier === '#src/errors.ts' && layer !== 'wire' && layer !== 'billing') continue
      if (typeOnly && layer !== 'wire' && layer !== 'billing') continue // Erased at run time.
      if (!allowed.includes(target)) broken.push(`${file} may not import ${specifier}`)
    }
  }
  assert.deepEqual(broken, [])
})

test('packages/client stands alone but for the rules it shares, and only its node and cli folders touch Node', () => {
  const broken: string[] = []
  const shared = new Set<string>()
  for (const file of packaged.filter((name) => !name.endsWith('.test.ts'))) {
    const folder = join(...(file.split('/').slice(0, 3) as [string, string, string]))
    const isNodes = /^packages\/client\/src\/(node|cli)\//.test(file)
    for (const { specifier } of importsOf(readFileSync(file, 'utf8'))) {
      const target = specifier.startsWith('.') ? join(dirname(file), specifier) : specifier
      // What a call used, what it costs, what a receipt proves: the same code on both sides, or there would be two opinions.
      const isShared = /^src\/(billing\/[\w-]+|wire\/[\w-]+-usage|lib\/[\w-]+)\.ts$/.test(target)
      if (isShared) shared.add(target)
      const isOurs = target.startsWith(`${folder}/`) || specifier === 'smol-toml' || specifier.startsWith('node:')
      const leansOnNode = specifier.startsWith('node:') || /\/src\/(node|cli)\//.test(target)
      if (!(isOurs || isShared) || (leansOnNode && !isNodes)) broken.push(`${file} may not import ${specifier}`)
    }
  }
  assert(shared.size > 0)
  for (const file of shared) {
    const text = readFileSync(file, 'utf8').replace(/^\s*(?:\/\/|\/?\*).*$/gm, '')
    if (/\b(?:Buffer|process|require)\b/.test(text))
      broken.push(`${file} is shared with browsers and uses a global of Node`)
    for (const { specifier } of importsOf(text)) {
      if (/^(#(billing|lib)|\.)\//.test(specifier))
        shared.add(specifier.startsWith('#') ? `src/${specifier.slice(1)}` : join(dirname(file), specifier))
      else broken.push(`${file} is shared with browsers and may not import ${specifier}`)
    }
  }
  assert.deepEqual(broken, [])
})

test('only config.ts reads the environment', () => {
  const readers = sources.filter(
    (file) => !file.endsWith('.test.ts') && /process\.env/.test(readFileSync(file, 'utf8')),
  )
  assert.deepEqual(
    readers.filter((file) => file !== 'src/config.ts' && file !== 'src/main.ts'),
    [],
    'main.ts hands process.env to parseConfig; nobody else looks at it',
  )
})

test('no file has grown a second subject', () => {
  const long = [...sources, ...packaged].filter(
    (file) => !file.endsWith('.test.ts') && readFileSync(file, 'utf8').split('\n').length > LINES_MAX,
  )
  assert.deepEqual(long, [], `over ${LINES_MAX} lines: find the second subject`)
})

test('nothing is left to be done in the code', () => {
  const marks = new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['XX', 'X'].join('')})\\b`)
  assert.deepEqual(
    code.filter((file) => marks.test(readFileSync(file, 'utf8'))),
    [],
  )
  const focused = code.filter(
    (file) => file.endsWith('.test.ts') && /\b(test|it|describe)\.(only|todo)\(/.test(readFileSync(file, 'utf8')),
  )
  assert.deepEqual(focused, [])
})

test('every path that a document names exists', () => {
  const missing: string[] = []
  for (const file of documents) {
    const text = readFileSync(file, 'utf8')
    const named = [
      ...text.matchAll(/`((?:src|test|tools|bench|docs|prices|bin|packages|console|\.ci)\/[\w./-]*[\w/-])`/g),
      ...text.matchAll(/\]\(((?!https?:|#|mailto:)[^)#\s]+)/g),
    ].map((match) => match[1] ?? '')
    for (const path of named) {
      const candidates = [path, join(dirname(file), path)]
      if (!candidates.some((candidate) => existsSync(candidate))) missing.push(`${file} names ${path}`)
    }
  }
  assert.deepEqual(missing, [])
})

test('docs/errors.md lists every error code and no other', () => {
  const documented = [...readFileSync('docs/errors.md', 'utf8').matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1])
  assert.deepEqual(documented.toSorted(), errorCodes.toSorted())
})

test('migrations are named NNNN_words.sql without gaps', () => {
  const names = tracked.filter((file) => file.startsWith('src/db/migrations/'))
  for (const [index, file] of names.toSorted().entries())
    assert.match(file, new RegExp(`/${String(index + 1).padStart(4, '0')}_[a-z0-9_]+\\.sql$`))
})

test('the lock file names no registry', () => {
  assert.equal(/"resolved":\s*"https?:/.test(readFileSync('package-lock.json', 'utf8')), false)
})

function importsOf(text: string): { typeOnly: boolean; specifier: string }[] {
  return [...text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?'([^']+)'/gm)].map((match) => ({
    typeOnly: match[1] !== undefined,
    specifier: match[2] ?? '',
  }))
}
