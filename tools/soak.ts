// Writes one router config after the other, good and bad, under calls without pause, and then compares what clients were
// told, what the upstreams delivered and what the books say. Exits 1 on any difference.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runSoak, type SoakReport } from '#test/support/soak/soak-run.ts'

const USAGE = 'usage: npm run soak -- [--minutes M] [--gateways N] [--seed S] [--models N]\n'
const WRITES_PER_ROUND = 100
/** Room for a few snapshots of some hundred models, not for a hundred of them. */
const HEAP_MEGABYTES_MAX = 160

function parse(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '5' },
      gateways: { type: 'string', default: '2' },
      seed: { type: 'string', default: String(randomInt(2 ** 32)) },
      models: { type: 'string', default: '300' },
    },
  })
  const [minutes = 0, gateways = 0, seed = 0, models = 0] = [
    values.minutes,
    values.gateways,
    values.seed,
    values.models,
  ].map(Number)
  const isUsable = minutes > 0 && gateways >= 1 && gateways <= 8 && seed >= 0 && models >= 0 && models <= 5_000
  return isUsable ? { minutes, gateways, seed, models } : undefined
}

async function main(args: string[]): Promise<number> {
  const options = parse(args)
  if (options === undefined) {
    process.stderr.write(USAGE)
    return 2
  }
  const { gateways, seed, models } = options
  say(`seed ${seed}, ${gateways} gateways, ${options.minutes} minutes`)
  const endsAt = performance.now() + options.minutes * 60_000
  const report = await runSoak({
    seed,
    gateways,
    writesPerRound: WRITES_PER_ROUND,
    goesOn: (rounds) => rounds === 0 || performance.now() < endsAt,
    idleModels: models,
    heapMegabytesMax: HEAP_MEGABYTES_MAX,
    say,
  })
  print(report)
  const broken = report.rules.filter(({ bad }) => bad > 0)
  say(`${broken.length === 0 ? 'every rule holds' : `${broken.length} rules are broken`}; seed ${seed}`)
  return broken.length === 0 ? 0 : 1
}

function print({ rules, calls, versions, versionsServed, fallbacks }: SoakReport): void {
  say('')
  say(`${calls} calls under ${versionsServed} of ${versions} versions, ${fallbacks} of them by a second upstream`)
  for (const { rule, checked, bad, examples } of rules) {
    say(`${bad === 0 ? 'ok  ' : 'BAD '} ${String(checked).padStart(8)} checked ${String(bad).padStart(4)} bad  ${rule}`)
    for (const one of examples) say(`       ${one}`)
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main(process.argv.slice(2))
