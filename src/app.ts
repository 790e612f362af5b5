import { createServer } from 'node:http'
import { type AddressInfo, isIPv6 } from 'node:net'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { type Db, within } from '#db/pool.ts'
import { createAllowedModels } from '#domain/allowed-models.ts'
import { createAuditTrail } from '#domain/audit-trail.ts'
import { createConversations } from '#domain/conversations/conversations.ts'
import { createConversationLog } from '#domain/conversations/log-conversation.ts'
import { createContentSweeper } from '#domain/conversations/retention.ts'
import { createGrants } from '#domain/grants.ts'
import { currentManifest, legacyReceiptKeys, refreshManifest } from '#domain/key-manifests.ts'
import { createKeys } from '#domain/keys.ts'
import { createLimitEditor } from '#domain/limits/limit-editor.ts'
import { createLogSigner } from '#domain/log/log-signer.ts'
import { createInvitationMail } from '#domain/members/invitation-mail.ts'
import { createInvitations } from '#domain/members/invitations.ts'
import { createMembers } from '#domain/members/members.ts'
import { stripeDeletionPart } from '#domain/payments/end-customer.ts'
import { createUserAdmin } from '#domain/people/user-admin.ts'
import { createProjects } from '#domain/projects.ts'
import { publicReceiptKeys, registerReceiptKey } from '#domain/receipt-keys.ts'
import { createReceiptLog } from '#domain/receipt-log.ts'
import { createRefunds } from '#domain/refunds.ts'
import type { RouterFeed } from '#domain/router/router-feed.ts'
import { createStatementLog } from '#domain/statement-log.ts'
import { createLogExports } from '#domain/usage/log-export.ts'
import { createUsageRecorder } from '#domain/usage/record-usage.ts'
import { createUsageFolder } from '#domain/usage/usage-folder.ts'
import { createUsageLog } from '#domain/usage/usage-log.ts'
import { createUsageStats } from '#domain/usage/usage-stats.ts'
import { createWallets } from '#domain/wallets.ts'
import { type OpenSockets, watchSockets } from '#lib/open-sockets.ts'
import { createHttpApp } from '#routes/http-app.ts'
import { createInferenceRoutes } from '#routes/inference.ts'
import { createSpeechPaths } from '#routes/speech.ts'
import { createSpeechSocket } from '#routes/speech-socket.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'
import { createAuditor } from './compose/create-auditor.ts'
import { openAnalytics } from './compose/open-analytics.ts'
import { openBudgets } from './compose/open-budgets.ts'
import { openPool } from './compose/open-database.ts'
import { openGateway } from './compose/open-gateway.ts'
import { openLedger } from './compose/open-ledger.ts'
import { openLog } from './compose/open-log.ts'
import { openMail } from './compose/open-mail.ts'
import { openPayments } from './compose/open-payments.ts'
import { openPeople } from './compose/open-people.ts'
import { openRateLimits } from './compose/open-rate-limits.ts'
import { openReceiptDesk } from './compose/open-receipt-desk.ts'
import { openRegistry } from './compose/open-registry.ts'
import { openRouter } from './compose/open-router.ts'
import { openStatements } from './compose/open-statements.ts'
import { openStripe } from './compose/open-stripe.ts'
import { openCredentialAlarms, openWebhooks } from './compose/open-webhooks.ts'
import type { Parts } from './compose/parts.ts'
import type { Config } from './config.ts'
import type { Installation } from './installation.ts'
import { readModelTraits } from './read-model-traits.ts'
import { readPriceBook } from './read-price-book.ts'

const VERSION = '0.1.0'
/** How long a stop waits for clients that have not yet read the end of their answer. */
const LAST_BYTES_MS = 5_000
const CONTENT_SWEEP_MS = 10 * 60_000

/**
 * Puts the parts together: database, books, router, hot path, HTTP. Throws Error with what to do, and then leaves nothing
 * open.
 */
export async function createApp(config: Config, installation: Installation, log: Logger) {
  await using opened = new AsyncDisposableStack()
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const parts = { config, installation, log, registry, opened }

  const db = await openPool(parts)
  await registerReceiptKey(db, installation.signer)
  const receiptLog = await openLog(parts, db)
  await publishKeys(parts, db)
  const books = await openLedger(parts, db)
  openStatements(parts, db)
  const priceBook = await readPriceBook(config)
  const alarms = openCredentialAlarms(parts, db)
  const router = await openRouter(parts, db, priceBook, alarms)
  await loadTokenizer()
  const grants = createGrants({ db, slot: books.slot })
  const sendMail = openMail(parts)
  const capture = openAnalytics(parts)
  const provider = await openStripe(config)
  const people = openPeople(parts, {
    ...{ db, grants, slot: books.slot, settings: router.feed.settings },
    ...{ sendMail, capture },
    deletionParts: [stripeDeletionPart({ db, provider })],
  })
  const payments = openPayments(parts, {
    ...{ db, provider, slot: books.slot, settings: router.feed.settings },
    ...{ users: people.users, trusts: people.trusts, sendMail, capture },
  })
  const rateLimits = await openRateLimits(parts, { db, settings: router.feed.settings, slot: books.slot })
  const gateway = await openGateway(parts, { db, priceBook, books, router, people, capture, alarms, rateLimits })
  const modelRegistry = await openRegistry(parts, { db, priceBook, traits: await readModelTraits() })
  const projects = createProjects({ db })
  const keys = createKeys({ db })
  const contentSweeper = createContentSweeper({
    db,
    everyMs: CONTENT_SWEEP_MS,
    onForgotten: (messages) => log.info({ messages }, 'deleted messages whose time was over'),
    onError: (error) => log.warn({ err: error }, 'old messages could not be deleted'),
  })
  opened.defer(() => contentSweeper.close())
  const usageLog = createUsageLog({ db })
  const folder = createUsageFolder({ db, onError: (err) => log.warn({ err }, 'usage was not folded') })
  opened.defer(() => folder.close())

  // HTTP: inference on plain node:http, everything else on Fastify, in one server.
  const inference = createInferenceRoutes(gateway, {
    modelsCreatedAt: createdAt(priceBook.version),
    speech: createSpeechPaths(gateway),
  })
  const speechSocket = createSpeechSocket(gateway)
  const audit = createAuditor(db, registry)
  let stopping = false
  let sockets: OpenSockets | undefined
  const http = createHttpApp({
    adminKey: installation.adminKey,
    keyring: gateway.keyring,
    projects,
    keys,
    grants,
    ...people.flux,
    ...payments,
    memberProjects: people.memberProjects,
    members: createMembers({ db }),
    invitations: createInvitations({
      db,
      onAsked:
        config.API_SERVER_URL === undefined
          ? undefined
          : createInvitationMail({ sendMail, publicUrl: config.API_SERVER_URL }),
    }),
    userAdmin: createUserAdmin({ db }),
    peopleMayCreateProjects: () => router.feed.settings().get('PEOPLE_CREATE_PROJECTS'),
    budgets: openBudgets(parts, db, sendMail),
    accounts: people.accounts,
    isAdministrator: people.isAdministrator,
    auditTrail: createAuditTrail({ db }),
    allowedModels: createAllowedModels({ db }),
    limitEditor: createLimitEditor({ db }),
    refunds: createRefunds({ db, slot: books.slot }),
    wallets: createWallets({ db }),
    ...router.editors,
    ...openWebhooks(parts, db, payments.lowBalances),
    usage: createUsageRecorder({ db, priceBook: () => priceBook }),
    conversations: createConversations({ db }),
    logConversation: createConversationLog({ db, priceBook: () => priceBook }),
    receiptLog: createReceiptLog({ db }),
    logProofs: receiptLog.logProofs,
    usageStats: createUsageStats({ db }),
    usageLog,
    logExports: createLogExports({ usageLog }),
    receiptKeys: () => publicReceiptKeys(db),
    legacyReceiptKeys: () => legacyReceiptKeys(db),
    keyManifest: () => currentManifest(db),
    statementLog: createStatementLog({ db }),
    receiptDesk: openReceiptDesk(parts, db, priceBook),
    audit,
    readiness: async () =>
      stopping
        ? { ok: false, checks: { gateway: 'stopping' } }
        : receiptLog.halted() !== undefined
          ? { ok: false, checks: { receipt_log: 'halted' } }
          : checkReadiness(db, router.feed),
    metrics: registry,
    version: VERSION,
    registry: modelRegistry,
    corsOrigins: config.CORS_ORIGINS ?? [],
    fluxNanousd: BigInt(config.FLUX_NANOUSD),
    log,
    serverFactory(handler) {
      const server = createServer(
        { maxHeaderSize: 32 * 1024, requestTimeout: 120_000, keepAliveTimeout: 65_000 },
        (req, res) => {
          if (!inference(req, res)) handler(req, res)
        },
      )
      server.maxHeadersCount = 0 // Counted by the routes, which say so; node would drop headers silently.
      server.on('upgrade', (req, connection, head) => {
        if (!speechSocket.upgrade(req, connection, head))
          connection.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n')
      })
      sockets = watchSockets(server)
      return server
    },
  })
  opened.defer(async () => {
    await sockets?.flushed(LAST_BYTES_MS)
    speechSocket.close()
    const late = setTimeout(() => http.server.closeAllConnections(), LAST_BYTES_MS)
    await http.close()
    clearTimeout(late)
  })

  const running = opened.move()
  return {
    projects,
    keys,
    grants,

    openCalls: () => gateway.openCalls.size,

    /** Ends the calls that a running close() waits for. */
    cut: () => gateway.openCalls.cut(),

    async listen(): Promise<string> {
      await http.listen({ host: config.HOST, port: config.PORT }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE') throw error
        const place = `${config.HOST}:${config.PORT}`
        throw new Error(`${place} is in use by another program. Choose another port with PORT.`, { cause: error })
      })
      const { address, port } = http.server.address() as AddressInfo
      return `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
    },

    /**
     * Stops in the order of the money: new calls are refused, running ones come to their end or are cut at the deadline,
     * everything is settled, clients take in what was written, and then the connections are closed.
     */
    async close(deadlineMs = config.SHUTDOWN_MS): Promise<void> {
      stopping = true
      await gateway.openCalls.drain(deadlineMs)
      await running.disposeAsync()
    },
  }
}

export type App = Awaited<ReturnType<typeof createApp>>

/** A changed list of receipt keys is signed at once where the root key is at hand. */
async function publishKeys({ config, installation, log }: Parts, db: Db): Promise<void> {
  const { rootSigner: root, signer } = installation
  if (root === undefined) return
  try {
    const origin = config.RECEIPT_LOG_ORIGIN
    const { vkey: logVkey } = await createLogSigner(origin, installation.logSigner)
    const manifest = await refreshManifest(db, signer, { root, log: origin, logVkey })
    if (manifest !== undefined)
      log.info({ sequence: manifest.sequence, root: manifest.root_key_id }, 'signed the list of receipt keys')
  } catch (error) {
    // Another root key than before, for one: the list stays as it was, and receipts are signed all the same.
    log.error({ err: error }, 'the list of receipt keys could not be signed')
  }
}

/** Readiness is the database's: a provider that is down is a matter of its calls, and an old router config still serves. */
async function checkReadiness(db: Db, feed: RouterFeed): Promise<{ ok: boolean; checks: Record<string, unknown> }> {
  const { version, stale } = feed.status()
  const router = stale === undefined ? { version } : { version, stale }
  try {
    await db.query(within(2_000, 'select 1'))
    return { ok: true, checks: { database: 'ok', router } }
  } catch {
    return { ok: false, checks: { database: 'unreachable', router } }
  }
}

/** The book's own date stands in for the models' dates, which nobody publishes in one place. Unix seconds. */
function createdAt(version: string): number {
  const date = Date.parse(version.slice(0, 10))
  return Number.isNaN(date) ? 0 : Math.floor(date / 1000)
}
