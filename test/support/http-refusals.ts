import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Scope, scopes } from '#domain/scopes.ts'
import { ADMIN_KEY, type TestApi } from '#test/support/http-api.ts'
import { openPerson } from '#test/support/people.ts'

let strangers = 0

/** The refusals that every route of a surface shares, one test each, named by route and status. */
export function testSharedRefusals(
  api: () => TestApi,
  route: { line: string; key?: 'admin' | 'client'; body?: unknown; headers?: Record<string, string>; scope?: Scope },
): void {
  const { line, body, headers } = route
  const sent = { ...(body !== undefined && { body }), ...(headers && { headers }) }
  const name = line.replace(/(prj|key|rcp)_\w+/, '{id}')

  test(`${name} 401: a key that is missing, wrong, or of the other kind`, async () => {
    const { secret } = await api().openProject(`401 ${line}`)
    const other = route.key === 'client' ? ADMIN_KEY : secret
    for (const key of [null, '', 'wrong', 'x'.repeat(10_000), other]) {
      const answer = await api().call(line, { ...sent, key })
      assert.deepEqual([answer.status, answer.body.error.code], [401, 'invalid_api_key'])
      assert.equal(answer.headers['www-authenticate'], 'Bearer')
      assert.equal(answer.headers['x-should-retry'], 'false')
    }
  })

  test(`${name} 503: the database is away`, async () => {
    const key = route.key === 'client' ? 'fg_key_of_nobody' : ADMIN_KEY
    const answer = await api().callAway(line, { ...sent, key })
    assert.deepEqual([answer.status, answer.body.error.code], [503, 'ledger_unavailable'])
    assert.equal(answer.headers['x-should-retry'], 'true')
  })

  if (route.key !== 'client')
    test(`${name} 403: a person who is no operator`, async () => {
      const { deps, database } = api()
      strangers += 1
      const { secret } = await openPerson({ db: database.db, ...deps }, `stranger${strangers}@example.com`)
      const answer = await api().call(line, { ...sent, key: secret })
      assert.deepEqual([answer.status, answer.body.error.code], [403, 'forbidden'])
      assert.equal(answer.headers['x-should-retry'], 'false')
    })

  const { scope } = route
  if (scope !== undefined)
    test(`${name} 403: a key with every scope but '${scope}'`, async () => {
      const { projectId } = await api().openProject(`403 ${line}`)
      const others = scopes.filter((other) => other !== scope)
      const { secret } = await api().deps.keys.create({ projectId, name: 'others', scopes: others })
      const answer = await api().call(line, { ...sent, key: secret })
      assert.deepEqual([answer.status, answer.body.error.code], [403, 'forbidden'])
      assert.equal(answer.body.error.message, `This key lacks the scope '${scope}'.`)
      assert.equal(answer.headers['x-should-retry'], 'false')
    })

  if (body === undefined) return

  /** One that may do this. */
  async function keyFor(what: string): Promise<string> {
    if (route.key !== 'client') return ADMIN_KEY
    const { projectId } = await api().openProject(`${what} ${line}`)
    return (await api().deps.keys.create({ projectId, name: 'all', scopes })).secret
  }

  test(`${name} 400: a body that is not JSON`, async () => {
    const key = await keyFor('400')
    for (const broken of ['{"name":', '{"name":"a"}}', '{"__proto__":{"name":"a"}}', '']) {
      const answer = await api().call(line, { ...sent, key, body: broken })
      assert.deepEqual([answer.status, answer.body.error.code], [400, 'body_malformed'])
    }
  })

  test(`${name} 413: a body above one megabyte`, async () => {
    const key = await keyFor('413')
    const answer = await api().call(line, { ...sent, key, body: { name: 'x'.repeat(1_048_576) } })
    assert.deepEqual([answer.status, answer.body.error.code], [413, 'body_too_large'])
  })

  test(`${name} 415: a body that is not application/json`, async () => {
    const key = await keyFor('415')
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'text/json']) {
      const answer = await api().call(line, { key, body: 'name=x', headers: { ...headers, 'content-type': type } })
      assert.deepEqual([answer.status, answer.body.error.code], [415, 'media_type_unsupported'])
    }
  })
}
