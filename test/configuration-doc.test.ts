import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig, settings } from '#src/config.ts'

test('docs/configuration.md lists every setting with its default and meaning, and no other', () => {
  const documented = readFileSync('docs/configuration.md', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  const expected = Object.entries(settings).map(([name, { description, fallbackText }]) => {
    const fallback = fallbackText === '–' ? '–' : `\`${fallbackText}\``
    return `| \`${name}\` | ${fallback} | ${description} |`
  })
  assert.deepEqual(documented.toSorted(), expected.toSorted())
})

test('REGISTRY_URL is https by name, or on this machine', () => {
  const good = [
    'https://llmring.github.io/registry',
    'http://127.0.0.1:8080/r',
    'http://localhost/r',
    'https://[::1]:9/',
  ]
  const bad = [
    ...['http://llmring.github.io/registry', 'https://example.com:8443/', 'https://10.0.0.1/', 'https://[fd00::1]/'],
    ...[
      'https://user:secret@example.com/',
      'https://example.com/?q=1',
      'ftp://localhost/',
      'http://127.0.0.1.example/',
      'x',
    ],
  ]
  for (const REGISTRY_URL of good) assert.equal(parseConfig({ REGISTRY_URL }).REGISTRY_URL, new URL(REGISTRY_URL).href)
  for (const REGISTRY_URL of bad) assert.throws(() => parseConfig({ REGISTRY_URL }), /REGISTRY_URL must be an https/)
})

test('every problem of a configuration is named at once, and no value is repeated', () => {
  const env = { PORT: '70000', LOG_LEVEL: 'loud', FLUXGATE_ADMIN_KEY: 'secret-but-short', DATABASE_URL: 'mysql://x' }
  assert.throws(
    () => parseConfig(env),
    ({ message }: Error) => {
      for (const name of Object.keys(env)) assert.match(message, new RegExp(`${name} must be `))
      assert.doesNotMatch(message, /secret-but-short|70000|loud|mysql:\/\/x/)
      return true
    },
  )
})
