import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestGateway } from '#test/support/gateway.ts'

test('the start warns once of the providers that have no price, and of no other', async () => {
  const gateway = await createTestGateway({
    env: {
      OPENAI_API_KEY: 'sk-unused',
      GROQ_API_KEY: 'gsk-unused',
      MISTRAL_API_KEY: 'unused',
      XAI_API_KEY: 'xai-unused',
      OLLAMA_BASE_URL: 'http://127.0.0.1:1/v1',
    },
  })
  const warnings = gateway.log.lines().filter((line) => JSON.stringify(line).includes('PRICE_BOOK'))
  await gateway.close()
  assert.deepEqual(
    warnings.map(({ level, providers }) => ({ level, providers })),
    [{ level: 40, providers: ['groq', 'mistral'] }],
  )
})
