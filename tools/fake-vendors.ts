// Serves all speech vendors on loopback until it is interrupted, for trying a gateway by hand: npm run sim
import { AZURE_KEY, startFakeAzure } from '#test/support/fakes/fake-azure.ts'
import { DASHSCOPE_KEY, startFakeDashscope } from '#test/support/fakes/fake-dashscope.ts'
import { ELEVENLABS_KEY, startFakeElevenlabs } from '#test/support/fakes/fake-elevenlabs.ts'
import { OPENAI_KEY, startFakeOpenaiAudio } from '#test/support/fakes/fake-openai-audio.ts'
import { STEPFUN_KEY, startFakeStepfun } from '#test/support/fakes/fake-stepfun.ts'
import { startFakeVolcengine, VOLCENGINE_APPID, VOLCENGINE_TOKEN } from '#test/support/fakes/fake-volcengine.ts'

const azure = await startFakeAzure()
const dashscope = await startFakeDashscope()
const volcengine = await startFakeVolcengine()
const stepfun = await startFakeStepfun()
const elevenlabs = await startFakeElevenlabs()
const openai = await startFakeOpenaiAudio()
const vendors = [azure, dashscope, volcengine, stepfun, elevenlabs, openai]

const rows = [
  { adapter: 'azure', baseUrl: azure.url, key: AZURE_KEY },
  { adapter: 'dashscope-cosyvoice', baseUrl: dashscope.url, key: DASHSCOPE_KEY, linkHost: dashscope.store.host },
  {
    adapter: 'volcengine',
    baseUrl: `${volcengine.url}/api/v1/tts`,
    key: VOLCENGINE_TOKEN,
    params: { appid: VOLCENGINE_APPID },
  },
  { adapter: 'stepfun', baseUrl: `${stepfun.url}/v1`, key: STEPFUN_KEY },
  { adapter: 'elevenlabs', baseUrl: elevenlabs.url, key: ELEVENLABS_KEY },
  { adapter: 'openai', baseUrl: `${openai.url}/v1`, key: OPENAI_KEY },
]
for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)

const stop = () => {
  process.off('SIGINT', stop)
  process.off('SIGTERM', stop)
  const books = Object.fromEntries(rows.map(({ adapter }, index) => [adapter, vendors[index]?.delivered]))
  process.stdout.write(`${JSON.stringify({ delivered: books })}\n`)
  void Promise.all(vendors.map((vendor) => vendor.close()))
}
process.on('SIGINT', stop)
process.on('SIGTERM', stop)
