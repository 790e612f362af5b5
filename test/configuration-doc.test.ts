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
