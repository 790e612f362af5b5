import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { presetTable } from '#domain/presets/table.ts'

test('docs/providers.md lists every preset as the table has it, and no other', () => {
  const documented = readFileSync('docs/providers.md', 'utf8')
    .split('\n')
    .filter((line) => /^\| `[a-z-]+` \| [^|]+ \| [^|]+ \| [^|]+ \| /.test(line))
  const expected = presetTable.map(({ name, title, baseUrl, paths, streamOptions, maxTokensMember, notes }) => {
    const limit = maxTokensMember === 'max_tokens' ? '' : ` Limits answers by ${maxTokensMember}.`
    const usage = streamOptions ? '' : ' Is never sent stream_options.'
    const remarks = `${notes}${limit}${usage}`.trim()
    return `| \`${name}\` | ${title} | ${baseUrl ?? '–'} | ${Object.keys(paths).join(', ')} | ${remarks === '' ? '–' : remarks} |`
  })
  assert.deepEqual(documented, expected)
})
