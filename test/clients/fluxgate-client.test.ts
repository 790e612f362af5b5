import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import OpenAI from 'openai'
import { createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import {
  bindAlias,
  createFluxgate,
  createLockfile,
  failoverStream,
  lockDigest,
} from '../../packages/client/src/index.ts'

// Our own client, which gives the official one its address, key, models and labels out of a lockfile.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

test('a pool over the gateway: the missing model is passed over, and the receipt has the labels', async () => {
  const project = await gateway.openProject(ONE_USD)
  const now = new Date('2026-01-01T00:00:00Z')
  const lockfile = bindAlias(createLockfile(now), 'résumé', 'sim:nobody,sim:echo', { now, profile: 'prod' })
  const fluxgate = await createFluxgate({
    baseUrl: gateway.url,
    apiKey: project.secret,
    profile: 'prod',
    lockfiles: { lockfile, extended: new Map() },
  })
  const { client, models } = fluxgate.openai(OpenAI, 'résumé', { maxRetries: 0 })
  const messages = [{ role: 'user' as const, content: 'hello' }]
  const { stream, model, failed } = await failoverStream(models, (name) =>
    client.chat.completions.create({ model: name, messages, stream: true }),
  )
  let text = ''
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
  assert.match(text, /hello/)
  assert.deepEqual([model, failed.map(({ fault }) => fault)], ['sim/echo', ['model_not_found']])
  const [receipt] = await project.settled(1)
  assert.deepEqual([receipt?.model, receipt?.alias_name, receipt?.profile], ['sim/echo', 'résumé', 'prod'])
  assert.equal(receipt?.lock_digest, await lockDigest(lockfile))
})
