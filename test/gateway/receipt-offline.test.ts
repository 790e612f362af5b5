import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { createRootSigner } from '#adapters/receipt-signer.ts'
import { run } from '#cli/receipt-verify.ts'
import { createTestGateway, ONE_USD, type TestGateway, until } from '#test/support/gateway.ts'

const rootSeed = randomBytes(32)
const root = createRootSigner(rootSeed)

let gateway: TestGateway
let place: string
before(async () => {
  place = await mkdtemp(join(tmpdir(), 'fluxgate-offline-'))
  gateway = await createTestGateway({ env: { RECEIPT_ROOT_KEY: rootSeed.toString('base64') } })
})
after(async () => {
  await gateway.close()
  await rm(place, { recursive: true })
})

test('a customer keeps three files and verifies a call offline: receipt, signed keys, proof, and the name of a root key', async () => {
  const project = await gateway.openProject(ONE_USD)
  const body = { model: 'sim/echo', messages: [{ role: 'user', content: 'Hello' }] }
  const answer = await gateway.chat(body, { key: project.secret })
  assert.equal(answer.status, 200, answer.text)
  const id = String(answer.headers['x-fluxgate-receipt'])
  const get = (path: string) => gateway.chat(undefined, { key: project.secret, method: 'GET', path })
  const proofOf = () => get(`/v1/receipts/${id}/proof`)
  await until('the log has the batch', async () => (await proofOf()).status === 200)
  const files: Record<string, string> = {}
  for (const [name, { text: content }] of [
    ['receipt.json', await get(`/v1/receipts/${id}`)],
    ['keys.json', await get('/receipts/key-manifest.json')],
    ['receipt.tlog-proof', await proofOf()],
  ] as const) {
    files[name] = join(place, name)
    await writeFile(files[name], content)
  }
  const [out, err] = [new PassThrough(), new PassThrough()]
  const { 'receipt.json': receipt = '', 'keys.json': keys = '', 'receipt.tlog-proof': proof = '' } = files
  const args = [receipt, '--keys', keys, '--root-key', root.keyId, '--proof', proof]
  const code = await run({ out, err, stdin: Readable.from([]) }, args)
  out.end()
  err.end()
  const [said, problems] = [await text(out), await text(err)]
  assert.equal(code, 0, said + problems)
  assert.match(said, /ok {4}log +leaf \d+ of \d+ in fluxgate\.local\/1/)
})
