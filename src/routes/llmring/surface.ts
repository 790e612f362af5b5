import type { FastifyRequest, RouteOptions } from 'fastify'
import type { Callers } from '#domain/callers.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { requireScope, type Scope } from '#domain/scopes.ts'
import { PROJECT_HEADER } from '#gateway/authenticate.ts'
import type { Secret } from '#lib/secret.ts'
import { adminKeyCheck, clientKeyDecorator, operatorDecorator } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { inProject } from '#routes/member-routes.ts'
import { AppError } from '#src/errors.ts'
import { aliasRoutes } from './aliases.ts'
import { type ConversationDeps, conversationRoutes } from './conversations.ts'
import { lenientValidator } from './lenient-validator.ts'
import { type LogDeps, logRoutes } from './log.ts'
import { type LogsDeps, logsRoutes } from './logs.ts'
import { type MetaDeps, metaRoutes } from './meta.ts'
import { presentedLlmringKey } from './present-key.ts'
import { readJson } from './read-json.ts'
import { type ReceiptsDeps, receiptsRoutes } from './receipts.ts'
import { type RegistryDeps, registryRoutes } from './registry.ts'
import { renderDetail } from './render-detail.ts'
import { type StatsDeps, statsRoutes } from './stats.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must be allowed to do to call this route of llmring's surface. Without it everybody may. */
    scope?: Scope
    /** The admin key may call it too, for any project. */
    operator?: boolean
  }
}

export interface LlmringDeps
  extends MetaDeps,
    RegistryDeps,
    LogDeps,
    ConversationDeps,
    StatsDeps,
    LogsDeps,
    ReceiptsDeps {
  keyring: Callers
  adminKey: Secret
}

/** Addresses that answer as llmring-server does, also where there is nothing. */
const surfacePath =
  /^\/(?:(?:api\/v1\/(?:logs?|logs:batch|stats|receipts|conversations|aliases|sync)|conversations|registry)(?:\/.*)?|registry\.json|health)$/

export function isLlmringPath(path: string): boolean {
  return surfacePath.test(path)
}

/**
 * What clients of llmring-server call. Each address answers with and without a slash at its end, empty parameters of a
 * query are absent ones, errors have a `detail`. A route says who may call it by `config: { scope }`; its handler finds the
 * caller with clientKey().
 */
export function llmringSurface(app: HttpInstance, deps: LlmringDeps): void {
  app.register((scope: HttpInstance, _options: unknown, done: () => void) => {
    scope.setErrorHandler(renderDetail)
    scope.setValidatorCompiler(lenientValidator)
    scope.removeContentTypeParser('application/json')
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
      readJson(body),
    )
    scope.decorateRequest(clientKeyDecorator)
    scope.decorateRequest(operatorDecorator, false)
    scope.addHook('onRequest', authenticateClient(deps))
    scope.addHook('onRequest', async (request) => dropEmpty(request.query))
    const addTwin = createTwins(scope)
    scope.addHook('onRoute', (route) => {
      const isPublic = route.config?.scope === undefined
      route.schema = {
        tags: ['usage'],
        security: isPublic ? [] : [{ clientKey: [] }, ...(route.config?.operator === true ? [{ adminKey: [] }] : [])],
        ...route.schema,
      }
      addTwin(route)
    })
    metaRoutes(scope, deps)
    aliasRoutes(scope)
    registryRoutes(scope, deps)
    receiptsRoutes(scope, deps)
    logRoutes(scope, deps)
    conversationRoutes(scope, deps)
    statsRoutes(scope, deps)
    logsRoutes(scope, deps)
    done()
  })
}

function authenticateClient({ keyring, adminKey }: Pick<LlmringDeps, 'keyring' | 'adminKey'>) {
  const isAdminKey = adminKeyCheck(adminKey)
  return async (request: FastifyRequest): Promise<void> => {
    const { scope, operator } = request.routeOptions.config
    if (scope === undefined) return
    const secret = presentedLlmringKey(request.headers)
    if (operator === true && secret !== undefined && isAdminKey(secret)) {
      request.setDecorator(operatorDecorator, true)
      return
    }
    const caller =
      secret === undefined
        ? await keyring.ofCookie?.(request.headers, request.method)
        : (keyring.peek(secret) ?? (await keyring.authenticate(secret).catch(refuse)))
    if (caller === undefined) throw new AppError('invalid_api_key', { message: 'X-API-Key header required' })
    const key = await inProject(keyring, request, caller, namedProject(request, caller))
    requireScope(key, scope)
    request.setDecorator(clientKeyDecorator, key)
  }
}

/** Links cannot carry a header, so people who are signed in may name a project in the query where there is such a parameter. */
function namedProject(request: FastifyRequest, caller: AuthenticatedKey): unknown {
  const { project } = request.query as Record<string, unknown>
  const isParameter = request.routeOptions.config.operator === true && caller.signedIn === true
  return request.headers[PROJECT_HEADER] ?? (isParameter && project !== '' ? project : undefined)
}

function refuse(error: unknown): never {
  if (error instanceof AppError && error.code === 'invalid_api_key')
    throw new AppError('invalid_api_key', { message: 'Invalid API key', cause: error })
  throw error
}

/** Clients send what they do not know as an empty text. */
function dropEmpty(query: unknown): void {
  for (const [name, value] of Object.entries(query as Record<string, unknown>)) {
    if (value === '') Reflect.deleteProperty(query as object, name)
    else if (Array.isArray(value)) {
      const told = value.filter((item) => item !== '')
      if (told.length > 1) Reflect.set(query as object, name, told)
      else if (told.length === 1) Reflect.set(query as object, name, told[0])
      else Reflect.deleteProperty(query as object, name)
    }
  }
}

/** Adds each route once more, with or without the slash at its end. */
function createTwins(scope: HttpInstance) {
  const added = new Set<string>()
  return (route: RouteOptions): void => {
    if (route.method === 'HEAD' || route.url === '/' || route.url.endsWith('*')) return
    if (added.has(`${route.method} ${route.url}`)) return
    const url = route.url.endsWith('/') ? route.url.slice(0, -1) : `${route.url}/`
    added.add(`${route.method} ${url}`)
    scope.route({ ...route, url, schema: { ...route.schema, hide: true } })
  }
}
