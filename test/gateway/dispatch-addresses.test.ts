import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type TestGateway, type TestProject } from '#test/support/gateway.ts'
import { putModels } from '#test/support/routed-models.ts'

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(ONE_USD)
})
after(() => gateway.close())

/** An upstream whose path names its model, which no path can hold. */
const nowhere = {
  id: 'nowhere',
  url: 'http://127.0.0.1:9',
  more: {
    preset: 'azure-openai-dated',
    overrideModel: 'a model with spaces',
    adapterParams: { apiVersion: '2024-10-21' },
  },
}
const ask = (model: string) => ({ model, messages: [{ role: 'user', content: 'hello' }] })

test('an upstream that cannot be addressed is passed over; with no other one the operator is at fault', async () => {
  const good = { id: 'good', url: gateway.simulatorUrl }
  await putModels(gateway, { both: { upstreams: [nowhere, good] }, alone: { upstreams: [nowhere] } })
  const served = await gateway.chat(ask('both'), { key: project.secret })
  assert.equal(served.status, 200, served.text)
  const refused = await gateway.chat(ask('alone'), { key: project.secret })
  assert.equal(refused.status, 503)
  assert.equal(refused.json.error.code, 'config_invalid')
  const [receipt] = await project.settled(1)
  assert.deepEqual(
    receipt?.attempt_list?.map(({ upstream }) => upstream),
    ['good'],
  )
})
