import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyBaseLogger, type FastifyServerFactory, LogController } from 'fastify'
import type { AllowedModels } from '#domain/allowed-models.ts'
import type { AuditReport } from '#domain/audit.ts'
import type { AuditTrail } from '#domain/audit-trail.ts'
import type { Budgets } from '#domain/budgets/budgets.ts'
import type { Callers } from '#domain/callers.ts'
import type { FluxGrants } from '#domain/flux/flux-grants.ts'
import type { LowBalances } from '#domain/flux/low-balance.ts'
import type { GrantReversals } from '#domain/flux/reverse-grants.ts'
import type { Grants } from '#domain/grants.ts'
import type { Keys } from '#domain/keys.ts'
import type { LimitEditor } from '#domain/limits/limit-editor.ts'
import type { LogProofs } from '#domain/log/log-proofs.ts'
import type { Invitations } from '#domain/members/invitations.ts'
import type { Members } from '#domain/members/members.ts'
import type { UserAdmin } from '#domain/people/user-admin.ts'
import type { Projects } from '#domain/projects.ts'
import type { ReceiptLog } from '#domain/receipt-log.ts'
import type { Refunds } from '#domain/refunds.ts'
import type { RouterEditor } from '#domain/router-editor.ts'
import type { SettingsEditor } from '#domain/settings-editor.ts'
import type { SliceEditor } from '#domain/slice-editor.ts'
import type { StatementLog } from '#domain/statement-log.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import type { Secret } from '#lib/secret.ts'
import { allowedModelRoutes } from '#routes/admin/allowed-models.ts'
import { auditRoutes } from '#routes/admin/audit.ts'
import { auditEventRoutes } from '#routes/admin/audit-events.ts'
import { budgetRoutes } from '#routes/admin/budgets.ts'
import { fluxGrantRoutes } from '#routes/admin/flux-grants.ts'
import { grantRoutes } from '#routes/admin/grants.ts'
import { keyRoutes } from '#routes/admin/keys.ts'
import { projectMemberRoutes } from '#routes/admin/members.ts'
import { projectRoutes } from '#routes/admin/projects.ts'
import { rateLimitRoutes } from '#routes/admin/rate-limits.ts'
import { refundRoutes } from '#routes/admin/refunds.ts'
import { routerRoutes } from '#routes/admin/router.ts'
import { routerSliceRoutes } from '#routes/admin/router-slices.ts'
import { settingRoutes } from '#routes/admin/settings.ts'
import { userRoutes } from '#routes/admin/users.ts'
import { type WebhookRoutesDeps, webhookRoutes } from '#routes/admin/webhooks.ts'
import { clientBudgetRoutes } from '#routes/client/budgets.ts'
import { projectKeyRoutes } from '#routes/client/keys.ts'
import { receiptProofRoutes } from '#routes/client/receipt-proof.ts'
import { receiptRoutes } from '#routes/client/receipts.ts'
import { requestRoutes } from '#routes/client/requests.ts'
import { statementRoutes } from '#routes/client/statements.ts'
import { walletRoutes } from '#routes/client/wallet.ts'
import { allowOrigins } from '#routes/llmring/cors.ts'
import { isRegistryPath } from '#routes/llmring/registry.ts'
import { renderDetail } from '#routes/llmring/render-detail.ts'
import { isLlmringPath, type LlmringDeps, llmringSurface } from '#routes/llmring/surface.ts'
import { peoplePageRoutes } from '#routes/pages/people-pages.ts'
import { type Accounts, accountRoutes, isAppPath } from '#routes/person/accounts.ts'
import { renderAiri } from '#routes/person/airi-answers.ts'
import { type FluxDeps, fluxRoutes } from '#routes/person/flux.ts'
import { invitationRoutes, ownInvitationRoutes } from '#routes/person/invitations.ts'
import { lowBalanceRoutes } from '#routes/person/low-balance.ts'
import { memberRoutes } from '#routes/person/members.ts'
import { type PaymentsDeps, paymentRoutes, shopRoutes } from '#routes/person/payments.ts'
import { type MemberProjectDeps, memberProjectRoutes } from '#routes/person/projects.ts'
import { documentProofRoutes } from '#routes/public/document-proof.ts'
import { healthRoutes, type Readiness } from '#routes/public/health.ts'
import { logRoutes } from '#routes/public/log.ts'
import { type ReceiptKeyFormsDeps, receiptKeyFormRoutes } from '#routes/public/receipt-key-forms.ts'
import { receiptKeyRoutes } from '#routes/public/receipt-keys.ts'
import { verifyPageRoutes } from '#routes/public/verify-page.ts'
import { AppError, errorBody } from '#src/errors.ts'
import {
  actorDecorator,
  clientKeyDecorator,
  requireAdmin,
  requireClient,
  requireMember,
  requirePerson,
  requireSignedIn,
} from './credentials.ts'
import type { HttpInstance } from './http-instance.ts'
import { createNotFound } from './not-found.ts'
import { gatewayMethods, openapiOptions } from './openapi-document.ts'
import { errorCodeOf, renderError } from './render-error.ts'
import { ErrorBody } from './schemas.ts'
import { strictValidator } from './validator.ts'

const BODY_BYTES_MAX = 1_048_576

const DOCS_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const LOGO =
  '<svg xmlns="http://www.w3.org/2000/svg" width="150" height="40"><text y="28" font-family="sans-serif" font-size="26" font-weight="bold" fill="#fff">Fluxgate</text></svg>'

export interface HttpAppDeps
  extends LlmringDeps,
    ReceiptKeyFormsDeps,
    FluxDeps,
    PaymentsDeps,
    WebhookRoutesDeps,
    MemberProjectDeps {
  lowBalances: LowBalances
  projects: Projects
  keys: Keys
  keyring: Callers
  /** Undefined where there are none. */
  accounts: Accounts | undefined
  grants: Grants
  fluxGrants: FluxGrants
  grantReversals: GrantReversals
  members: Members
  invitations: Invitations
  userAdmin: UserAdmin
  budgets: Budgets
  allowedModels: AllowedModels
  limitEditor: LimitEditor
  refunds: Refunds
  router: RouterEditor
  routerSlices: SliceEditor
  settings: SettingsEditor
  receiptLog: ReceiptLog
  statementLog: StatementLog
  logProofs: LogProofs
  audit: () => Promise<AuditReport>
  readiness: () => Promise<Readiness>
  metrics: { contentType: string; metrics(): Promise<string> }
  adminKey: Secret
  /** Whether a person is an operator, as of now. */
  isAdministrator: (userId: string) => Promise<boolean>
  auditTrail: AuditTrail
  version: string
  /** Whose pages may call the routes of llmring's clients. */
  corsOrigins: readonly string[]
  log: FastifyBaseLogger
  /** Makes the server that this application answers on; by default one of its own. */
  serverFactory?: FastifyServerFactory
}

/**
 * Everything that is not the hot path: administration, receipts, health, metrics, documentation. The caller awaits
 * `ready()` and listens.
 */
export function createHttpApp(deps: HttpAppDeps): HttpInstance {
  const app: HttpInstance = Fastify({
    loggerInstance: deps.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    bodyLimit: BODY_BYTES_MAX,
    genReqId: () => `req_${uuidv7Hex()}`,
    requestIdHeader: false,
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: renderError,
    clientErrorHandler,
    ...(deps.serverFactory && { serverFactory: deps.serverFactory }),
  })
  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(strictValidator)
  // Schemas describe answers but do not shape them: a field that a schema forgot must not vanish.
  app.setSerializerCompiler(() => JSON.stringify)
  app.setErrorHandler(renderError)
  const notFound = createNotFound(app, gatewayMethods)
  app.setNotFoundHandler((request, reply) => {
    const [path = '/'] = request.url.split('?')
    const render = isLlmringPath(path) ? renderDetail : renderError
    return render(notFound(request), request, reply)
  })

  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'x-request-id': request.id,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    })
  })
  app.addHook('onRequest', allowOrigins(deps.corsOrigins, isLlmringPath))
  app.addHook('onRequest', allowOrigins(['*'], isRegistryPath))
  if (deps.accounts?.hasApps) app.addHook('onRequest', allowOrigins(['*'], isAppPath))
  app.addHook('onResponse', async (request, reply) => {
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? 'none',
        status: reply.statusCode,
        error: errorCodeOf(request),
        tookMs: Math.round(reply.elapsedTime * 10) / 10,
      },
      'request',
    )
  })

  app.register(swagger, openapiOptions(deps.version))
  app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: DOCS_POLICY,
    theme: { title: 'Fluxgate' },
    logo: { type: 'image/svg+xml', content: Buffer.from(LOGO), href: '/', target: '_self' },
  })
  addSurface(app, 'public', (scope) => {
    healthRoutes(scope, deps)
    receiptKeyRoutes(scope, deps)
    receiptKeyFormRoutes(scope, deps)
    logRoutes(scope, deps)
    documentProofRoutes(scope, deps)
    verifyPageRoutes(scope)
    scope.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  })
  llmringSurface(app, deps)
  addSurface(app, 'account', (scope) => {
    scope.decorateRequest(clientKeyDecorator)
    scope.addHook('onRequest', requireClient(deps.keyring, 'read'))
    receiptRoutes(scope, deps)
    receiptProofRoutes(scope, deps)
    requestRoutes(scope, deps)
    walletRoutes(scope, deps)
    clientBudgetRoutes(scope, deps)
    statementRoutes(scope, deps)
  })
  addSurface(app, 'account', (scope) => {
    scope.decorateRequest(clientKeyDecorator)
    scope.addHook('onRequest', requireClient(deps.keyring))
    projectKeyRoutes(scope, deps)
  })
  const { accounts } = deps
  if (accounts !== undefined)
    addSurface(app, 'public', (scope) => {
      scope.setErrorHandler(renderAiri)
      accountRoutes(scope, accounts)
      peoplePageRoutes(scope, accounts)
    })
  addSurface(app, 'public', (scope) => {
    scope.setErrorHandler(renderAiri)
    shopRoutes(scope, deps)
  })
  addSurface(app, 'person', (scope) => {
    scope.setErrorHandler(renderAiri)
    scope.decorateRequest(clientKeyDecorator)
    scope.addHook('onRequest', requirePerson(deps.keyring, 'read'))
    fluxRoutes(scope, deps)
    lowBalanceRoutes(scope, deps)
    paymentRoutes(scope, deps)
  })
  addSurface(app, 'person', (scope) => {
    scope.decorateRequest(clientKeyDecorator)
    scope.addHook('onRequest', requireSignedIn(deps.keyring))
    scope.addHook('onRequest', requireMember(deps.memberProjects))
    memberProjectRoutes(scope, deps)
    memberRoutes(scope, deps)
    invitationRoutes(scope, deps)
    ownInvitationRoutes(scope, deps)
  })
  addSurface(app, 'admin', (scope) => {
    scope.decorateRequest(actorDecorator)
    scope.addHook('onRequest', requireAdmin(deps))
    auditEventRoutes(scope, deps)
    projectRoutes(scope, deps)
    projectMemberRoutes(scope, deps)
    userRoutes(scope, deps)
    keyRoutes(scope, deps)
    grantRoutes(scope, deps)
    fluxGrantRoutes(scope, deps)
    budgetRoutes(scope, deps)
    allowedModelRoutes(scope, deps)
    rateLimitRoutes(scope, deps)
    refundRoutes(scope, deps)
    auditRoutes(scope, deps)
    routerRoutes(scope, deps)
    routerSliceRoutes(scope, deps)
    settingRoutes(scope, deps)
    webhookRoutes(scope, deps)
  })
  return app
}

const security = { person: [{ personKey: [] }], account: [{ clientKey: [] }], admin: [{ adminKey: [] }], public: [] }

/** Routes that share who may call them; the document shows them under one heading. */
function addSurface(app: HttpInstance, tag: keyof typeof security, add: (scope: HttpInstance) => void): void {
  app.register((scope: HttpInstance, _options: unknown, done: () => void) => {
    scope.addHook('onRoute', (route) => {
      // Whoever is signed in and no operator is refused by all of them.
      const refused = tag === 'admin' && { response: { ...(route.schema?.response as object), 403: ErrorBody } }
      route.schema = { tags: [tag], security: security[tag], ...route.schema, ...refused }
    })
    add(scope)
    done()
  })
}

/** What is not even HTTP: too many headers, a broken request line, a request that takes too long to arrive. */
function clientErrorHandler(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const body = JSON.stringify(errorBody(new AppError('body_malformed', { message: 'The request is not valid HTTP.' })))
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'connection: close',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: req_${uuidv7Hex()}`,
    'x-should-retry: false',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
