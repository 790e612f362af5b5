import type { FastifyRequest } from 'fastify'
import type { HttpInstance } from '#routes/http-instance.ts'
import { AppError } from '#src/errors.ts'

/**
 * Answers what no route matches: 405 with `allow` where the address answers to other methods, else 404. Learns the routes
 * as they are added, so it must be installed before them. `served` are addresses that somebody else answers.
 */
export function createNotFound(app: HttpInstance, served: Map<string, string[]>) {
  const known: { path: RegExp; methods: string[] }[] = []
  const learn = (url: string, methods: string[]) => known.push({ path: pathPattern(url), methods })
  for (const [url, methods] of served) learn(url, methods)
  app.addHook('onRoute', ({ url, method }) => {
    learn(url, [method].flat())
  })

  return (request: FastifyRequest): AppError => {
    const [path = '/'] = request.url.split('?')
    const allowed = [...new Set(known.filter((route) => route.path.test(path)).flatMap((route) => route.methods))]
    if (allowed.length === 0 || allowed.includes(request.method)) return new AppError('not_found')
    return new AppError('method_not_allowed', { headers: { allow: allowed.sort().join(', ') } })
  }
}

/** `/a/:id/*` as a pattern for whole paths. */
function pathPattern(url: string): RegExp {
  const source = url
    .replaceAll('::', ':')
    .split('/')
    .map((segment) =>
      segment.startsWith(':') ? '[^/]+' : segment === '*' ? '.*' : segment.replaceAll(/[^\w-]/g, '\\$&'),
    )
    .join('/')
  return new RegExp(`^${source}$`)
}
