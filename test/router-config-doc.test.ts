import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { keyPlacesOfConfig } from '#domain/credentials-in-config.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import { compileRouter } from '#domain/router/compile.ts'
import { defaultsMembers, parseRouterConfig } from '#domain/router/parse-config.ts'
import { groupMembers, modelMembers } from '#domain/router/parse-model.ts'
import { protocolNames, speechAdapters, textMembers } from '#domain/router/parse-upstream.ts'
import { createSettings, settingNames } from '#domain/settings.ts'

const page = readFileSync('docs/router-config.md', 'utf8')

test('the example of docs/router-config.md can be written as it is, and every model of it has a price', () => {
  const examples = [...page.matchAll(/^```json\n(.*?)^```$/gms)].map((match) => match[1] ?? '')
  assert.equal(examples.length, 1)
  const config: unknown = JSON.parse(examples[0] ?? '')
  const keys = keyPlacesOfConfig(config)
  assert(keys.length > 0)
  for (const { entry } of keys) {
    assert.equal(typeof entry.plaintextKey, 'string')
    delete entry.plaintextKey
    entry.ciphertext = `v1.${'i'.repeat(16)}.${'c'.repeat(20)}.${'t'.repeat(22)}`
  }
  const parsed = parseRouterConfig(config)
  assert(parsed.ok, JSON.stringify(parsed))
  assert.deepEqual(parsed.warnings, [])
  const priceBook = loadPriceBook(readFileSync('prices/price-book.json'))
  const { problems, warnings } = compileRouter({
    ...{ document: parsed.document, digest: parsed.digest, version: 1, priceBook, fluxNanousd: 1_000_000n },
    settings: createSettings(new Map()),
  })
  assert.deepEqual([...problems, ...warnings], [])
})

test('docs/router-config.md names every setting, adapter and protocol', () => {
  const names = [...settingNames, ...Object.values(speechAdapters).flat(), ...protocolNames.keys()]
  assert.deepEqual(
    names.filter((name) => !page.includes(`\`${name}\``)),
    [],
  )
})

test('docs/router-config.md names every member that is accepted', () => {
  const members = [...defaultsMembers, ...modelMembers, 'provider', 'voices', ...groupMembers, ...textMembers]
  assert.deepEqual(
    members.filter((name) => !page.includes(`\`${name}\``)),
    [],
  )
})
