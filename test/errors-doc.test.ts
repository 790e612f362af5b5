import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { AppError, type ErrorCode, errorBody, errorCodes, errorHeaders } from '#src/errors.ts'

test('docs/errors.md says of every code what src/errors.ts says, and knows no other', () => {
  const rows = [
    ...readFileSync('docs/errors.md', 'utf8').matchAll(/^\| `(\w+)` \| (\d+) \| `(\w+)` \| (yes|no) \| (\S.*) \|$/gm),
  ]
  const documented = rows.map(([, code, status, type, again]) => ({ code, status, type, again }))
  const expected = errorCodes.map((code) => {
    const error = new AppError(code)
    return {
      code,
      status: String(error.status),
      type: errorBody(error).error.type,
      again: errorHeaders(error)['x-should-retry'] === 'true' ? 'yes' : 'no',
    }
  })
  assert.deepEqual(documented, expected)
})

test('every way out that docs/request-path.md draws has a code that exists', () => {
  const named = [...readFileSync('docs/request-path.md', 'utf8').matchAll(/\d{3} (\w+_\w+|\w+)$/gm)].map(
    ([, code]) => code,
  )
  assert(named.length > 20)
  for (const code of named) assert(errorCodes.includes(code as ErrorCode), `${code} is no error code`)
})
