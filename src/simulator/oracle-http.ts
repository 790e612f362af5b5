import type { Oracle } from './oracle.ts'

const PAGE_DEFAULT = 100
const PAGE_MAX = 1000

/** The oracle over HTTP: totals, pages of calls, calls by id, and forgetting. */
export function answerOracle(oracle: Oracle, method = 'GET', url: string): { status: number; json: string } {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  if (method === 'DELETE' && pathname === '/oracle') {
    oracle.reset()
    return ok({ reset: true })
  }
  if (method !== 'GET') return problem(405, 'Only GET is allowed here, and DELETE on /oracle.')
  if (pathname === '/oracle/totals') return ok(oracle.totals())
  if (pathname === '/oracle/calls') {
    const after = whole(searchParams.get('after') ?? '0')
    const limit = whole(searchParams.get('limit') ?? String(PAGE_DEFAULT))
    if (after === undefined) return problem(400, "'after' must be a sequence number.")
    if (limit === undefined || limit < 1 || limit > PAGE_MAX) {
      return problem(400, `'limit' must be 1 to ${PAGE_MAX}.`)
    }
    return ok({ calls: oracle.calls({ after, limit }) })
  }
  const id = /^\/oracle\/calls\/([^/]+)$/.exec(pathname)?.[1]
  if (id === undefined) return problem(404, 'There is nothing at this address.')
  const named = oracle.find(decodeId(id))
  const calls = named.length > 0 ? named : oracle.find(whole(id) ?? 0)
  return calls.length > 0 ? ok({ calls }) : problem(404, 'No held call has this id.')
}

function whole(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function decodeId(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function ok(value: unknown): { status: number; json: string } {
  return { status: 200, json: JSON.stringify(value) }
}

function problem(status: number, message: string): { status: number; json: string } {
  return {
    status,
    json: JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } }),
  }
}
