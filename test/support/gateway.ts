import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Receipt } from '#billing/receipt.ts'
import { createSimulator } from '#simulator/simulator.ts'
import { createApp } from '#src/app.ts'
import { parseConfig } from '#src/config.ts'
import { openInstallation } from '#src/installation.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { createLogSink } from '#test/support/log-sink.ts'
import { createTestProjects } from '#test/support/test-projects.ts'
import { until } from '#test/support/until.ts'

export type { TestProject } from '#test/support/test-projects.ts'
export { until }

export const ADMIN_KEY = 'the-admin-key-of-the-tests'
export const ONE_USD = 1_000_000_000n

export interface TestGatewayOptions {
  /** Settings beside those that every test gateway gets. */
  env?: Record<string, string>
  /** Rewrites the database's URL, to put something in between. */
  through?: (url: string) => Promise<string>
}

export interface CallOptions {
  /** The client key; null sends none. */
  key?: string | null
  headers?: Record<string, string>
  method?: string
  path?: string
  /** Aborted: the client closes its connection. */
  signal?: AbortSignal
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into foreign JSON, and a wrong path fails them.
export type Json = any

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  text: string
  /** The parsed body of an answer that is JSON. */
  json: Json
  /** False when the connection broke before the end. */
  whole: boolean
}

/** The whole application in this process, with a simulator beside it whose oracle is at hand. */
export async function createTestGateway(options: TestGatewayOptions = {}) {
  const database = await createTestDatabase({ poolMax: 4 })
  const { db } = database
  const dataDir = await mkdtemp(join(tmpdir(), 'fluxgate-gateway-'))
  const simulator = createSimulator({ exposeOracle: true })
  const { url: simulatorUrl } = await simulator.listen()
  const sink = createLogSink()
  const config = parseConfig({
    DATABASE_URL: (await options.through?.(database.url)) ?? database.url,
    FLUXGATE_ADMIN_KEY: ADMIN_KEY,
    RECEIPT_SIGNING_KEY: randomBytes(32).toString('base64'),
    LOG_SIGNING_KEY: randomBytes(32).toString('base64'),
    LLM_ROUTER_MASTER_KEY: randomBytes(32).toString('base64'),
    DATA_DIR: dataDir,
    PORT: '0',
    FLUXGATE_SIM_URL: simulatorUrl,
    ...options.env,
  })
  const installation = await openInstallation(config, sink.log)
  const app = await createApp(config, installation, sink.log)
  const url = await app.listen()
  const { openProject, expectAudit } = createTestProjects({ db, ...app })
  let closed = false

  const { open, chat } = createTestClient(url)

  return {
    url,
    app,
    database,
    db,
    simulator,
    simulatorUrl,
    oracle: simulator.oracle,
    log: sink,
    dataDir,
    config,
    openProject,
    expectAudit,
    open,
    chat,

    /** What the simulator saw of one call: its attempts, oldest first. */
    seen: (receipt: Receipt) => simulator.oracle.find(receipt.receipt_id.slice('rcp_'.length)),

    /** What the simulator sees of the calls that a project has open now. */
    async running(project: { walletId: bigint }) {
      const { rows } = await db.query<{ id: string }>('select request_id as id from hold where wallet_id = $1', [
        project.walletId,
      ])
      return rows.flatMap(({ id }) => simulator.oracle.find(id.replaceAll('-', '')))
    },

    /** Nothing is held anywhere. */
    async expectNothingHeld(): Promise<void> {
      const { rows } = await db.query<{ holds: bigint; held: bigint }>(
        'select (select count(*) from hold) as holds, (select coalesce(sum(held), 0)::bigint from wallet) as held',
      )
      assert.deepEqual(rows, [{ holds: 0n, held: 0n }])
    },

    async closeApp(deadlineMs = 1_000): Promise<void> {
      if (closed) return
      closed = true
      await app.close(deadlineMs)
      await installation.close()
    },

    async close(): Promise<void> {
      try {
        await this.closeApp()
        await expectAudit()
      } finally {
        await simulator.close()
        await database.close()
        await rm(dataDir, { recursive: true, force: true })
      }
    },
  }
}

export type TestGateway = Awaited<ReturnType<typeof createTestGateway>>

/** Talks to a gateway over HTTP, each request on a connection of its own. */
export function createTestClient(url: string) {
  /** Sends one request and hands over the answer as soon as its head is there. */
  async function open(body: unknown, call: CallOptions = {}): Promise<OpenReply> {
    const { key, headers = {}, method = 'POST', path = '/v1/chat/completions', signal } = call
    const request = httpRequest(new URL(path, url), {
      method,
      agent: false,
      ...(signal && { signal }),
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(typeof key === 'string' && { authorization: `Bearer ${key}` }),
        ...headers,
      },
    })
    const answered = Promise.withResolvers<IncomingMessage>()
    request.on('response', answered.resolve).on('error', answered.reject)
    // As bytes: with a body that is a string, Node writes the headers in its encoding.
    if (body === undefined) request.end()
    else request.end(Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
    return openReply(await answered.promise)
  }

  async function chat(body: unknown, call: CallOptions = {}): Promise<Reply> {
    return (await open(body, call)).all()
  }

  return { open, chat }
}

/** An answer whose body is still coming. */
export function openReply(response: IncomingMessage) {
  let text = ''
  const chunks: Buffer[] = []
  const ended = Promise.withResolvers<boolean>()
  let wake: () => void = () => undefined
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    text += chunk.toString('latin1')
    wake()
  })
  response.on('end', () => ended.resolve(true))
  response.on('error', () => ended.resolve(false))
  response.on('close', () => ended.resolve(response.complete))
  void ended.promise.then(() => wake())

  return {
    response,
    status: response.statusCode ?? 0,
    headers: response.headers,

    /** Everything received so far, bytes as Latin-1. */
    received: () => text,

    /** Waits until so much has come that the text passes; rejects when the answer ends first. */
    async until(passes: (text: string) => boolean): Promise<void> {
      let over = false
      void ended.promise.then(() => {
        over = true
      })
      while (!passes(text)) {
        assert(!over, `the answer ended early: ${text}`)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },

    /** Closes the connection, as a client that stops. */
    hangUp(): void {
      response.destroy()
    },

    async all(): Promise<Reply> {
      const whole = await ended.promise
      const body = Buffer.concat(chunks)
      const isJson = /^application\/json/.test(response.headers['content-type'] ?? '')
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        body,
        text: body.toString('utf8'),
        json: isJson && body.length > 0 ? JSON.parse(new TextDecoder().decode(body)) : undefined,
        whole,
      }
    },
  }
}

export type OpenReply = ReturnType<typeof openReply>
