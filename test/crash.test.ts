import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCrash } from '#test/support/crash/crash-run.ts'

// A short run of what `npm run crash` does for as long as one likes; the seeds are fixed, the moments never quite the same.
const RUN_MS_MAX = 25_000

for (const { victim, kills, seed } of [
  { victim: 'gateway', kills: 4, seed: 7 },
  { victim: 'postgres', kills: 2, seed: 8 },
] as const) {
  test(`kill -9 of ${victim} under load loses nothing that was acknowledged and charges nothing twice`, async (t) => {
    const report = await runCrash({ victim, kills, seed, msMax: RUN_MS_MAX, say: (line) => t.diagnostic(line) })
    t.diagnostic(
      `seed ${seed}: ${report.killed} kills, ${report.calls} calls, ${report.acknowledged} acknowledged, ` +
        `${report.unpaid.streams} streams lost, at most ${report.unpaid.maxTokens} tokens unpaid`,
    )
    for (const { rule, bad, examples } of report.rules) assert.equal(bad, 0, `${rule}: ${examples.join('; ')}`)
    assert(report.killed > 0 && report.acknowledged > 0, 'the run killed something and something was acknowledged')
  })
}
