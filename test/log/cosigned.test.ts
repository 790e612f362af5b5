import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { decodeHash, verifyCheckpoint } from '#billing/tlog/checkpoint.ts'
import { verifyTlogProof } from '#billing/tlog/tlog-proof.ts'
import { encodeVerifierKey, parseVerifierKey, verifierKey } from '#billing/tlog/verifier-key.ts'
import { run as runMonitor } from '#cli/log-monitor.ts'
import { run as runWitness } from '#cli/witness.ts'
import { createLogSigner } from '#domain/log/log-signer.ts'
import { lockFile, openKeyFile } from '#src/key-files.ts'
import { createTestGateway, ONE_USD, until } from '#test/support/gateway.ts'

const dir = await mkdtemp(join(tmpdir(), 'fluxgate-cosigned-'))
after(() => rm(dir, { recursive: true, force: true }))
const logSeed = Buffer.alloc(32, 21)
const log = await createLogSigner('cosigned.example/1', createReceiptSigner(logSeed))

/** `fluxgate witness` with files of its own. */
async function startWitness(name: string, port = 0) {
  const stop = new AbortController()
  const out = new PassThrough()
  const err = new PassThrough()
  const tools = { dir: '', signer: () => assert.fail('a witness has a key of its own'), openKeyFile, lockFile }
  const words = ['--name', name, '--vkey', log.vkey, '--json', '--listen', `127.0.0.1:${port}`]
  const files = ['--state', join(dir, `${name}.state`), '--key', join(dir, `${name}.key`)]
  const done = runWitness({ out, err, logTools: tools, signal: stop.signal }, [...words, ...files])
  const first = await Promise.race([new Promise<Buffer>((resolve) => out.once('data', resolve)), done])
  assert(typeof first !== 'number', String(err.read()))
  const { vkey, url } = JSON.parse(String(first)) as { vkey: string; url: string }
  return {
    vkey,
    url,
    key: await parseVerifierKey(vkey),
    async close() {
      stop.abort()
      assert.equal(await done, 0)
    },
  }
}

test('checkpoints are cosigned by whoever is there, and a proof then carries the cosignatures', async () => {
  const one = await startWitness('one.example')
  const two = await startWitness('two.example')
  const port = Number(new URL(two.url).port)
  await two.close()
  const gateway = await createTestGateway({
    env: {
      LOG_INTERVAL_MS: '30',
      LOG_WITNESS_INTERVAL_MS: '30',
      LOG_SIGNING_KEY: logSeed.toString('base64'),
      RECEIPT_LOG_ORIGIN: 'cosigned.example/1',
      LOG_WITNESSES: `${one.vkey} ${one.url}, ${two.vkey} ${two.url}/`,
    },
  })
  const get = async (path: string, key?: string) =>
    gateway.chat(undefined, { method: 'GET', path, ...(key !== undefined && { key }) })
  try {
    const project = await gateway.openProject(ONE_USD)
    const call = async () => {
      const { headers } = await gateway.chat(
        { model: 'sim/echo', messages: [{ role: 'user', content: 'x' }] },
        { key: project.secret },
      )
      return String(headers['x-fluxgate-receipt'])
    }
    const cosignedBy = async (id: string, names: string[]) => {
      const policy = { log: log.key, witnesses: [one.key, two.key], quorum: names.length }
      const { json } = await get(`/v1/receipts/${id}`, project.secret)
      await until(`${names} cosigned ${id}`, async () => {
        const { status, text } = await get(`/v1/receipts/${id}/proof`, project.secret)
        if (status !== 200) return false
        const verdict = await verifyTlogProof(text, decodeHash(json.batch.root), policy)
        return verdict.ok && verdict.cosignatures.map(({ name }) => name).join() === names.join()
      })
    }
    await cosignedBy(await call(), ['one.example'])
    await until('the log says who did not cosign', () =>
      gateway.log
        .lines()
        .some(({ witness, msg }) => witness === 'two.example' && msg === 'a witness did not cosign the receipt log'),
    )

    // The second comes up late, knows nothing, and is caught up by its answer.
    const late = await startWitness('two.example', port)
    await call()
    await cosignedBy(await call(), ['one.example', 'two.example'])
    const policy = { log: log.key, witnesses: [one.key, late.key], quorum: 2 }
    await until('the checkpoint of both is served', async () => {
      const { text } = await get('/log/witnessed-checkpoint')
      return (await verifyCheckpoint(text, policy)).problem === undefined
    })
    await until('the gauge says so', async () => {
      const metrics = (await get('/metrics')).text
      return Number(/^fluxgate_log_witnessed_size (\S+)$/m.exec(metrics)?.[1]) >= 2
    })

    // The monitor follows what was cosigned, and sees when a key is not among the cosigners.
    const [out, err] = [new PassThrough(), new PassThrough()]
    const words = [`${gateway.url}/log`, '--json', '--witness', one.vkey, '--witness', late.vkey]
    assert.equal(await runMonitor({ out, err }, words), 0, String(err.read()))
    const stranger = encodeVerifierKey(await verifierKey('three.example', 'cosignature', Buffer.alloc(32, 9)))
    assert.equal(await runMonitor({ out, err }, [...words, '--witness', stranger]), 1)
    assert.equal(await runMonitor({ out, err }, [...words, '--witness', stranger, '--quorum', '2']), 0)

    // Both are away: calls and the log go on.
    await one.close()
    await late.close()
    const last = await call()
    await until('the log goes on', async () => (await get(`/v1/receipts/${last}/proof`, project.secret)).status === 200)
  } finally {
    await gateway.close()
  }
})

test('a witness that has seen more than the database has is told loudly; nonsense is not published', async () => {
  let answer = { status: 409, type: 'text/x.tlog.size', body: '1000000\n' }
  const server = createServer((_request, response) => {
    response.writeHead(answer.status, { 'content-type': answer.type, location: '/elsewhere' }).end(answer.body)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const vkey = encodeVerifierKey(
    await verifierKey('strange.example', 'cosignature', createReceiptSigner(Buffer.alloc(32, 5)).publicKey),
  )
  const gateway = await createTestGateway({
    env: { LOG_INTERVAL_MS: '20', LOG_WITNESS_INTERVAL_MS: '20', LOG_WITNESSES: `${vkey} http://127.0.0.1:${port}` },
  })
  try {
    const logged = (part: string) =>
      until(part, () => gateway.log.lines().some((line) => JSON.stringify(line).includes(part)))
    await logged('a witness has seen more of the receipt log')
    for (const [status, type, body, says] of [
      [200, 'text/plain', '— strange.example AAAAAQEBAQE=\n', 'no signature of its key'],
      [200, 'text/plain', 'thank you', 'not lines of signatures'],
      [409, 'text/plain', '1', 'it answers 409'],
      [403, 'text/plain', 'go away', 'it answers 403: go away'],
      [302, 'text/plain', '', 'fetch failed'],
      [200, 'text/plain', 'x'.repeat(70_000), 'longer than'],
    ] as const) {
      answer = { status, type, body }
      const project = await gateway.openProject(ONE_USD)
      await gateway.chat({ model: 'sim/echo', messages: [{ role: 'user', content: 'x' }] }, { key: project.secret })
      await logged(says)
    }
    const { status } = await gateway.chat(undefined, { method: 'GET', path: '/log/witnessed-checkpoint' })
    assert.equal(status, 404)
  } finally {
    await gateway.close()
    server.closeAllConnections()
    server.close()
  }
})

test('two witnesses of one memory are refused', async () => {
  const one = await startWitness('same.example')
  await assert.rejects(startWitness('same.example'), /in use by another process/)
  await one.close()
})
