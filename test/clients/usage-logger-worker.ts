// Logs entries until it is killed, and says after each that the call has returned. Arguments: address, directory, from, count.
import { writeSync } from 'node:fs'
import { openUsageLogger } from '../../packages/client/src/node/index.ts'

const [baseUrl = '', directory = '', from = '0', count = '0', then = 'stay'] = process.argv.slice(2)
const logger = openUsageLogger({
  baseUrl,
  apiKey: 'fg_key_test',
  directory,
  collectMs: 2,
  backoff: { firstMs: 2, mostMs: 20 },
})
for (let index = Number(from); index < Number(from) + Number(count); index += 1) {
  const name = `m${index}`
  logger.log({ provider: 'openai', model: name, usage: { input: 1, output: 1 }, idempotencyKey: name })
  writeSync(1, `${name}\n`)
  if (index % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
}
writeSync(1, 'all\n')
if (then === 'stay') setInterval(() => undefined, 1_000)
