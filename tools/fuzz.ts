// Runs the fuzz tests longer than the suite does: `npm run fuzz -- --factor 100 --seed 7`. A failure prints its seed and path.
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { globSync } from 'node:fs'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { factor: { type: 'string', default: '50' }, seed: { type: 'string' } } })
const factor = Number(values.factor)
if (!(factor > 0 && factor <= 100_000)) throw new Error('--factor is a number above 0')
const seed = values.seed ?? String(randomInt(2 ** 31))
const files = globSync('test/fuzz/*.fuzz.test.ts')
process.stdout.write(`fuzz: ${files.length} files, ${factor} times as long as in the suite, seed ${seed}\n`)
const child = spawn(process.execPath, ['--test', '--test-concurrency=2', ...files], {
  stdio: 'inherit',
  env: { ...process.env, FUZZ_FACTOR: String(factor), FUZZ_SEED: seed },
})
child.on('close', (code) => {
  process.exitCode = code ?? 1
})
