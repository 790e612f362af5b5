import nodeAssert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Compile } from 'typebox/schema'
import { createGuardedFetch } from '#adapters/guarded-fetch.ts'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { createPool, type Db } from '#db/pool.ts'
import { createAllowedModels } from '#domain/allowed-models.ts'
import { auditLedger } from '#domain/audit.ts'
import { createAuditTrail } from '#domain/audit-trail.ts'
import { createBudgets } from '#domain/budgets/budgets.ts'
import { createCallers } from '#domain/callers.ts'
import { createReceiptDesk } from '#domain/certificates/receipt-desk.ts'
import { splitReported } from '#domain/certificates/split-reported.ts'
import { createConversations } from '#domain/conversations/conversations.ts'
import { createConversationLog } from '#domain/conversations/log-conversation.ts'
import { createCredentials } from '#domain/credentials.ts'
import { createGrants } from '#domain/grants.ts'
import { currentManifest, legacyReceiptKeys } from '#domain/key-manifests.ts'
import { type AuthenticatedKey, createKeyring } from '#domain/keyring.ts'
import { createKeys } from '#domain/keys.ts'
import { createLimitEditor } from '#domain/limits/limit-editor.ts'
import { createLogProofs } from '#domain/log/log-proofs.ts'
import { createInvitations } from '#domain/members/invitations.ts'
import { createMemberProjects } from '#domain/members/member-projects.ts'
import { createMembers } from '#domain/members/members.ts'
import { createAdministrators } from '#domain/people/administrators.ts'
import { createUserAdmin } from '#domain/people/user-admin.ts'
import { createUsers } from '#domain/people/users.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import { createProjects } from '#domain/projects.ts'
import { publicReceiptKeys } from '#domain/receipt-keys.ts'
import { createReceiptLog } from '#domain/receipt-log.ts'
import { createRefunds } from '#domain/refunds.ts'
import { createRegistry, type ModelRegistry } from '#domain/registry/registry.ts'
import { createRegistryVersions } from '#domain/registry/registry-versions.ts'
import { createRouterStore } from '#domain/router/router-store.ts'
import { createRouterEditor } from '#domain/router-editor.ts'
import { scopeSet } from '#domain/scopes.ts'
import { createSettingsEditor } from '#domain/settings-editor.ts'
import { createSettingsStore } from '#domain/settings-store.ts'
import { createSliceEditor } from '#domain/slice-editor.ts'
import { createStatementLog } from '#domain/statement-log.ts'
import { createLogExports } from '#domain/usage/log-export.ts'
import { createUsageRecorder } from '#domain/usage/record-usage.ts'
import { createUsageLog } from '#domain/usage/usage-log.ts'
import { createUsageStats } from '#domain/usage/usage-stats.ts'
import { createWallets } from '#domain/wallets.ts'
import { createWebhookDeliveries } from '#domain/webhooks/deliveries.ts'
import { createWebhookEndpoints } from '#domain/webhooks/endpoints.ts'
import { createEventList } from '#domain/webhooks/event-list.ts'
import { createWebhookSecrets } from '#domain/webhooks/webhook-secrets.ts'
import { deriveEnvelopeKey } from '#lib/envelope.ts'
import { Secret } from '#lib/secret.ts'
import { createHttpApp, type HttpAppDeps } from '#routes/http-app.ts'
import { readModelTraits } from '#src/read-model-traits.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { logSigner, openTestLog } from '#test/support/log/test-log.ts'
import { createLogSink } from '#test/support/log-sink.ts'
import { peopleDeps, sessions } from '#test/support/people.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { createTestTill, TILL_SEED } from '#test/support/till.ts'

const priceBook = loadPriceBook(readFileSync('prices/price-book.json'))

/** What provider keys are sealed with. */
export const envelopeKeys = { current: deriveEnvelopeKey(Buffer.alloc(32, 5)), previous: undefined }

/** Hosts that webhooks of the tests may be sent to; a test adds its own. */
export const webhookHosts: string[] = []

/** The guard that their addresses are checked with. */
export const webhookGuard = createGuardedFetch({
  hostSuffixes: 'any',
  insecureHosts: webhookHosts,
  connectTimeoutMs: 1_000,
  connectionsMax: 4,
})

export const ADMIN_KEY = 'the-admin-key-of-the-tests'

/** Whose account is an operator's. */
export const ADMIN_EMAIL = 'operator@example.com'

interface CallOptions {
  /** Sent as a bearer token; the admin key unless said otherwise, nothing when null. */
  key?: string | null
  body?: unknown
  headers?: Record<string, string>
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies that the schema check has already read.
  body: any
}

/**
 * The whole application on a real database, called without a network. Every answer is checked against the OpenAPI
 * document: an undocumented status or field fails the test that met it.
 */
export async function createTestApi() {
  const database = await createTestDatabase()
  const slot = await claimTestSlot(database.db)
  const till = await createTestTill({ database, slot })
  const sink = createLogSink()
  const logDir = await mkdtemp(join(tmpdir(), 'fluxgate-log-'))
  const log = await openTestLog(database, logDir)
  const proofsOn = (db: Db) => createLogProofs({ db, ...log, vkey: logSigner.vkey })
  const { app, keyring, deps } = buildApp(database.db, {
    slot,
    log: sink.log,
    logProofs: proofsOn(database.db),
    registry: await openTestRegistry(database.db),
  })

  // The same application in front of a database that is not there.
  const nowhere = createPool(
    { connection: { host: '127.0.0.1', port: 1, user: 'nobody' }, poolMax: 2 },
    () => undefined,
  )
  const away = buildApp(nowhere, {
    slot,
    log: sink.log,
    logProofs: proofsOn(nowhere),
    registry: await openTestRegistry(database.db, nowhere),
  })

  await Promise.all([app.ready(), away.app.ready(), keyring.listening()])
  const documented = describeAnswers(app.swagger())
  const seen = new Set<string>()

  async function callOn(target: typeof app, line: string, options: CallOptions): Promise<Answer> {
    const [method = '', url = ''] = line.split(' ')
    const { key = ADMIN_KEY, body, headers = {} } = options
    const response = await target.inject({
      method: method as 'GET',
      url,
      headers: {
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const { statusCode: status, body: text } = response
    nodeAssert.match(String(response.headers['x-request-id']), /^req_[0-9a-f]{12}7[0-9a-f]{19}$/)
    const isJson = String(response.headers['content-type']).startsWith('application/json')
    const answer = { status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined }
    const route = documented.find(url)
    if (route !== undefined && status !== 405 && method !== 'OPTIONS') {
      seen.add(`${method} ${route} ${status}`)
      documented.check(`${method} ${route}`, answer)
    }
    return answer
  }

  return {
    app,
    database,
    deps,
    till,
    log: sink,
    /** Takes what was signed so far into the public log. */
    sequence: log.turn,
    documented,
    call: (line: string, options: CallOptions = {}): Promise<Answer> => callOn(app, line, options),
    /** The same call while the database is away. */
    callAway: (line: string, options: CallOptions = {}): Promise<Answer> => callOn(away.app, line, options),

    /** A project with a key and, when asked for, some money. */
    async openProject(name: string, nanos = 0n): Promise<AuthenticatedKey & { secret: string }> {
      const project = await deps.projects.create({ name })
      const { key, secret } = await deps.keys.create({ projectId: project.id, name })
      if (nanos > 0n)
        await deps.grants.grant({
          projectId: project.id,
          amountNanos: nanos,
          reason: 'a test',
          actor: 'test',
          idempotencyKey: 'open',
        })
      const { id: projectId, walletId, account } = project
      return {
        keyId: key.id,
        projectId,
        walletId,
        account,
        scopes: scopeSet(key.scopes),
        personal: false,
        userId: null,
        secret,
      }
    },

    /** Fails unless the calls so far have met every documented status of these routes, as in `GET /v1/wallet`. */
    expectEveryStatus(...routes: string[]): void {
      const missing = routes.flatMap((route) =>
        documented.statuses(route).flatMap((status) => (seen.has(`${route} ${status}`) ? [] : [`${route} ${status}`])),
      )
      nodeAssert.deepEqual(missing, [], 'documented and never met')
    },

    async close(): Promise<void> {
      const report = await auditLedger(database.db)
      await Promise.all([app.close(), away.app.close(), keyring.close(), away.keyring.close(), till.close()])
      await log.close()
      await Promise.all([nowhere.end(), database.close()])
      await rm(logDir, { recursive: true, force: true })
      nodeAssert(report.ok, 'the books balance after the tests')
    },
  }
}

export type TestApi = Awaited<ReturnType<typeof createTestApi>>

/** The registry of the bundled files; what it was is looked up in `archive`. */
async function openTestRegistry(db: Db, archive = db): Promise<ModelRegistry> {
  const versions = { ...createRegistryVersions({ db }), find: createRegistryVersions({ db: archive }).find }
  const registry = createRegistry({ versions, book: priceBook, traits: await readModelTraits() })
  await registry.publish(new Map())
  return registry
}

function buildApp(
  db: Db,
  parts: { slot: { current(): { slot: number; epoch: bigint } } } & Pick<HttpAppDeps, 'log' | 'logProofs' | 'registry'>,
) {
  const { slot, ...given } = parts
  const keyring = createKeyring({ db })
  const editing = {
    store: createRouterStore({ db, priceBook, fluxNanousd: 1_000_000n }),
    settings: createSettingsStore({ db }),
    credentials: createCredentials({ keys: envelopeKeys, onUndecryptable: () => undefined }),
  }
  const usageLog = createUsageLog({ db })
  const deps: HttpAppDeps = {
    projects: createProjects({ db }),
    keys: createKeys({ db }),
    keyring: createCallers({ keyring, ...sessions(db, slot) }),
    accounts: {
      handle: async () => new Response(null, { status: 404 }),
      ...{ publicUrl: undefined, hasApps: false, social: [], proxies: undefined },
      ...{ limit: () => ({ max: 1_000, windowMs: 60_000 }), trusts: () => false },
    },
    isAdministrator: createAdministrators({ users: createUsers({ db }), emails: new Set([ADMIN_EMAIL]) }),
    auditTrail: createAuditTrail({ db }),
    allowedModels: createAllowedModels({ db }),
    limitEditor: createLimitEditor({ db }),
    ...given,
    grants: createGrants({ db, slot }),
    ...peopleDeps(db, slot),
    memberProjects: createMemberProjects({ db }),
    members: createMembers({ db }),
    invitations: createInvitations({ db }),
    userAdmin: createUserAdmin({ db }),
    peopleMayCreateProjects: () => false,
    budgets: createBudgets({ db }),
    refunds: createRefunds({ db, slot }),
    wallets: createWallets({ db }),
    router: createRouterEditor(editing),
    routerSlices: createSliceEditor(editing),
    settings: createSettingsEditor(editing),
    usage: createUsageRecorder({ db, priceBook: () => priceBook }),
    conversations: createConversations({ db }),
    logConversation: createConversationLog({ db, priceBook: () => priceBook }),
    receiptLog: createReceiptLog({ db }),
    usageStats: createUsageStats({ db }),
    usageLog,
    logExports: createLogExports({ usageLog }),
    receiptKeys: () => publicReceiptKeys(db),
    legacyReceiptKeys: () => legacyReceiptKeys(db),
    keyManifest: () => currentManifest(db),
    statementLog: createStatementLog({ db }),
    receiptDesk: createReceiptDesk({
      db,
      signer: createReceiptSigner(TILL_SEED),
      logOrigin: 'fluxgate.test/1',
      splitCost: splitReported(() => priceBook),
      receiptKeys: () => publicReceiptKeys(db),
    }),
    webhooks: createWebhookEndpoints({
      ...{ db, secrets: createWebhookSecrets(envelopeKeys) },
      checkUrl: (url) => void webhookGuard.route(url),
    }),
    deliveries: createWebhookDeliveries({ db }),
    events: createEventList({ db }),
    audit: () => auditLedger(db),
    readiness: () =>
      db.query('select 1').then(
        () => ({ ok: true, checks: { database: 'ok' } }),
        () => ({ ok: false, checks: { database: 'away' } }),
      ),
    metrics: { contentType: 'text/plain; version=0.0.4', metrics: async () => 'fluxgate_up 1\n' },
    adminKey: new Secret(ADMIN_KEY),
    fluxNanousd: 1_000_000n,
    version: '0.0.0-test',
    corsOrigins: ['https://app.example'],
  }
  return { app: createHttpApp(deps), keyring, deps }
}

interface Operation {
  responses: Record<string, { content?: Record<string, { schema?: object }> }>
}

/** What the OpenAPI document promises of each route. */
function describeAnswers(document: object) {
  const paths = Reflect.get(document, 'paths') as Record<string, Record<string, Operation>>
  const patterns = Object.keys(paths).map(
    (path) => [path, new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`)] as const,
  )
  const operationOf = (route: string) => {
    const [method = '', path = ''] = route.split(' ')
    return paths[path]?.[method.toLowerCase()]
  }
  return {
    paths,
    find(url: string): string | undefined {
      const [path = ''] = url.split('?')
      // As a router does: an address as it is written comes before one with parameters.
      return Object.hasOwn(paths, path) ? path : patterns.find(([, pattern]) => pattern.test(path))?.[0]
    },
    statuses: (route: string): string[] => Object.keys(operationOf(route)?.responses ?? { undocumented: {} }),
    check(route: string, answer: Answer): void {
      const response = operationOf(route)?.responses[answer.status]
      nodeAssert(response !== undefined, `${route} may answer ${answer.status}: ${answer.text}`)
      const schema = response.content?.['application/json']?.schema
      if (schema === undefined || String(answer.headers['content-type']).startsWith('text/html')) return
      const [valid, errors] = Compile(schema).Errors(answer.body)
      nodeAssert(valid, `${route} ${answer.status}: ${JSON.stringify(errors)} in ${answer.text}`)
    },
  }
}
