// Kills a gateway under load, its PostgreSQL, or both, again and again, and then compares what clients were told, what the
// upstream delivered and what the books say. Exits 1 on any difference; the seed repeats the decisions.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { type CrashReport, runCrash } from '#test/support/crash/crash-run.ts'

const USAGE = 'usage: npm run crash -- --kills N [--seed S] [--victim gateway|postgres|both] [--minutes M]\n'
const victims = ['gateway', 'postgres', 'both'] as const

function parse(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      kills: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(randomInt(2 ** 32)) },
      victim: { type: 'string', default: 'both' },
      minutes: { type: 'string', default: '60' },
    },
  })
  const victim = victims.find((name) => name === values.victim)
  const [kills, seed, minutes] = [values.kills, values.seed, values.minutes].map(Number)
  if (victim === undefined || !(Number(kills) > 0) || !(Number(seed) >= 0) || !(Number(minutes) > 0)) return undefined
  return { kills: Number(kills), seed: Number(seed), victim, msMax: Number(minutes) * 60_000 }
}

async function main(args: string[]): Promise<number> {
  const options = parse(args)
  if (options === undefined) {
    process.stderr.write(USAGE)
    return 2
  }
  say(`seed ${options.seed}`)
  const report = await runCrash({ ...options, say })
  print(report)
  const broken = report.rules.filter(({ bad }) => bad > 0)
  say(`${broken.length === 0 ? 'every rule holds' : `${broken.length} rules are broken`}; seed ${options.seed}`)
  return broken.length === 0 ? 0 : 1
}

function print(report: CrashReport): void {
  const { unpaid, uncharged, unchargedWhole } = report
  const counts = (map: Map<string, number>) =>
    [...map].sort((a, b) => b[1] - a[1]).map(([name, number]) => `  ${String(number).padStart(7)}  ${name}`)
  const lines = [
    '',
    `${report.killed} kills in ${Math.round(report.tookMs / 1_000)} s, slowest recovery ${Math.round(report.slowestRecoveryMs)} ms`,
    ...counts(report.kills),
    `${report.calls} calls reached the upstream, ${report.acknowledged} answers were acknowledged`,
    ...counts(report.outcomes),
    'calls without a complete answer, by what the client was told',
    ...counts(report.refusals),
    '',
    ...report.rules.flatMap(({ rule, checked, bad, examples }) => [
      `${bad === 0 ? 'ok  ' : 'BAD '} ${String(checked).padStart(8)} checked ${String(bad).padStart(4)} bad  ${rule}`,
      ...examples.map((one) => `       ${one}`),
    ]),
    '',
    `delivered ${report.deliveredNanos} nano-dollars, charged ${report.chargedNanos}`,
    `streams that a killed gateway left: ${unpaid.streams}; unpaid of what clients got: at most ${unpaid.maxTokens} tokens, p50 ${unpaid.p50Tokens}`,
    `the same by the upstream's count, with what lay in its socket: at most ${uncharged.maxTokens} tokens beyond the prompt, ` +
      `p50 ${uncharged.p50Tokens}; at most ${uncharged.maxNanos} nano-dollars`,
    `whole answers that a killed gateway left: ${unchargedWhole.calls}; uncharged at most ${unchargedWhole.maxNanos} nano-dollars`,
  ]
  for (const line of lines) say(line)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main(process.argv.slice(2))
