import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import { verdictOf } from '#test/support/stream-text.ts'

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

const ASK = { model: 'sim/echo', messages: [{ role: 'user', content: 'Tell me of the tides.' }] }
const STREAMS = 200

test('200 streams on a wallet that covers three: none below zero, each ends, the sum is exact', async () => {
  // What one such stream holds at first, as the refusal of an empty wallet says it.
  const body = { ...ASK, stream: true, sim: { tokens: 1_500, chunk_ms: 1 } }
  const empty = await gateway.openProject(0n)
  const { json } = await gateway.chat({ ...body, max_tokens: 1_024 * 4 }, { key: empty.secret })
  const floor = BigInt(/at least (\d+)/.exec(json.error.message)?.[1] ?? 0)
  const hold = floor - 16n * 600n + 1_024n * 600n
  const project = await gateway.openProject(3n * hold + 1_000n)

  let lowest = project.granted
  let watching = true
  const watch = (async () => {
    while (watching) {
      const { postedNanos, heldNanos } = await project.wallet()
      if (postedNanos - heldNanos < lowest) lowest = postedNanos - heldNanos
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  const replies = await Promise.all(Array.from({ length: STREAMS }, () => gateway.chat(body, { key: project.secret })))
  watching = false
  await watch

  const verdicts = Map.groupBy(replies, verdictOf)
  const admitted = STREAMS - (verdicts.get('402 `insufficient_quota`')?.length ?? 0)
  const ended = (verdicts.get('200')?.length ?? 0) + (verdicts.get('200, then `length`')?.length ?? 0)
  assert.equal(ended, admitted, [...verdicts.keys()].join())
  assert(admitted >= 3, `${admitted} were admitted`)
  assert(lowest >= 0n)
  for (const { text, status } of replies) if (status === 200) assert.match(text, /data: \[DONE\]\n\n$/)
  const receipts = await project.settled(admitted)
  const { postedNanos } = await project.wallet()
  const charged = receipts.reduce((sum, receipt) => sum + BigInt(receipt.charged_nanousd), 0n)
  assert.equal(charged, project.granted - postedNanos)
  // What comes in one read with the token that empties the wallet is passed on with it: 64 KB, a token in each frame.
  for (const { absorbed_nanousd } of receipts) assert(BigInt(absorbed_nanousd) < 300n * 600n, absorbed_nanousd)
})

test('a hundred calls of ten projects at once are each charged what the upstream delivered', async () => {
  const projects = await Promise.all(Array.from({ length: 10 }, () => gateway.openProject(ONE_USD)))
  const before = gateway.oracle.totals().all.finished.completionTokens
  const calls = projects.flatMap((project) =>
    Array.from({ length: 10 }, (_, n) =>
      gateway.chat({ ...ASK, stream: n % 2 === 0, sim: { tokens: 20 + n } }, { key: project.secret }),
    ),
  )
  for (const reply of await Promise.all(calls)) assert.equal(reply.status, 200)
  const receipts = (await Promise.all(projects.map((project) => project.settled(10)))).flat()
  const output = receipts.reduce((sum, { usage }) => sum + (usage.output ?? 0), 0)
  assert.equal(output, gateway.oracle.totals().all.finished.completionTokens - before)
  for (const receipt of receipts) assert.equal(receipt.usage.output, gateway.seen(receipt)[0]?.completionTokens)
})
