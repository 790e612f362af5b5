// Breaks the money code on purpose, one rule at a time, in a copy of the tree, and runs the tests that should notice.
// node tools/mutants.ts [--list] [--only PART_OF_A_NAME]
import { execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { concurrencyMutants } from './mutants/concurrency.ts'
import { type Mutant, mutants } from './mutants/list.ts'

/** A lost operation hangs its test: whoever has not ended by now has noticed. The whole code takes a quarter of this. */
const MUTANT_MS_MAX = 60_000
/** How long a runner that was told to stop may take to stop its database. */
const STOP_MS_MAX = 15_000
const OUTPUT_CHARS_MAX = 4_000_000
// Fewer histories than in the suite: a rule that is broken always is broken soon.
const HISTORIES = '25'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

interface Run {
  passed: boolean
  /** A test passed, hung, or failed because it saw something wrong; otherwise nothing was tested. */
  tested: boolean
  firstFailure: string
  seconds: number
}

type Verdict = 'killed' | 'survived' | 'broken'

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean', default: false } } })
  const chosen = [...mutants, ...concurrencyMutants].filter(({ name }) => name.includes(values.only ?? ''))
  if (chosen.length === 0) {
    say(`no mutant is called ${values.only}`)
    return 2
  }
  for (const mutant of chosen) requireApplicable(mutant)
  if (values.list) {
    for (const { name, file, tests } of chosen) say(`${name}\n    ${file}; ${tests.join(', ')}`)
    return 0
  }

  const copy = mkdtempSync(join(tmpdir(), 'fluxgate-mutants-'))
  process.once('exit', () => rmSync(copy, { recursive: true, force: true }))
  copyTree(copy)
  const files = [...new Set(chosen.flatMap(({ tests }) => tests))]
  const whole = await runTests(copy, files, MUTANT_MS_MAX * 3)
  if (stopping) return 130
  if (!whole.passed) {
    say(`the tests fail without any mutant, first: ${whole.firstFailure}`)
    return 1
  }
  say(`${files.length} test files pass on the code as it is, in ${whole.seconds.toFixed(0)} s`)

  const counts: Record<Verdict, number> = { killed: 0, survived: 0, broken: 0 }
  for (const mutant of chosen) {
    const ownServer = mutant.file.endsWith('.sql')
    const run = await withMutant(copy, mutant, () => runTests(copy, mutant.tests, MUTANT_MS_MAX, ownServer))
    if (stopping) return 130
    const verdict = verdictOf(run)
    counts[verdict] += 1
    const notice = verdict === 'survived' ? '' : run.firstFailure
    say(`${verdict.padEnd(8)} ${run.seconds.toFixed(1).padStart(6)} s  ${mutant.name.padEnd(60)} ${notice}`)
  }
  say(`${counts.killed} killed, ${counts.survived} survived, ${counts.broken} that no test could run on`)
  return counts.survived + counts.broken === 0 ? 0 : 1
}

/** A break after which nothing works at all says nothing about the tests. */
function verdictOf(run: Run): Verdict {
  if (run.passed) return 'survived'
  return run.tested ? 'killed' : 'broken'
}

function requireApplicable({ name, file, find, tests }: Mutant): void {
  const times = readFileSync(join(root, file), 'utf8').split(find).length - 1
  if (times !== 1) throw new Error(`"${name}": the text to break is found ${times} times in ${file}, not once`)
  for (const test of tests) if (!existsSync(join(root, test))) throw new Error(`"${name}": ${test} is not there`)
}

/** What git knows and what it would take, without what was installed. */
function copyTree(copy: string): void {
  const list = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: root })
  for (const file of list.toString().split('\0')) {
    if (file === '' || file === 'node_modules' || !existsSync(join(root, file))) continue
    mkdirSync(join(copy, dirname(file)), { recursive: true })
    cpSync(join(root, file), join(copy, file))
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
}

async function withMutant<T>(copy: string, { name, file, find, replace }: Mutant, work: () => Promise<T>): Promise<T> {
  const path = join(copy, file)
  const text = readFileSync(path, 'utf8')
  const parts = text.split(find)
  if (parts.length !== 2) throw new Error(`"${name}": ${file} was changed while it was copied`)
  writeFileSync(path, parts.join(replace))
  try {
    return await work()
  } finally {
    writeFileSync(path, text)
  }
}

let stopping = false
let stopRunner: () => void = () => undefined

function runTests(copy: string, files: readonly string[], msMax: number, ownServer = false): Promise<Run> {
  const startedAt = performance.now()
  // Schemas that are broken on purpose leave templates on the server they were built on: they get one of their own.
  const { TEST_DATABASE_URL: url, ...rest } = process.env
  const env = url === undefined || ownServer ? rest : { ...rest, TEST_DATABASE_URL: url }
  const child = spawn(process.execPath, ['tools/run-tests.ts', ...files], {
    cwd: copy,
    env: { ...env, FLUXGATE_HISTORIES: HISTORIES, FLUXGATE_SEED: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  const collect = (chunk: Buffer) => {
    if (output.length < OUTPUT_CHARS_MAX) output += chunk
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  let late = false
  let kill: NodeJS.Timeout | undefined
  stopRunner = () => {
    child.kill('SIGTERM')
    // The second signal ends the tests at once, and lets the runner stop its database.
    kill ??= setTimeout(() => child.kill('SIGTERM'), STOP_MS_MAX)
  }
  const deadline = setTimeout(() => {
    late = true
    stopRunner()
  }, msMax)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(deadline)
      clearTimeout(kill)
      const failure = /✖ (?!failing tests)(.+?)(?: \([\d.]+ms\))?$/m.exec(output)?.[1]
      resolve({
        passed: code === 0 && !late,
        tested: late || /^ℹ pass [1-9]/m.test(output) || output.includes('AssertionError'),
        firstFailure: late ? `no end within ${msMax / 1000} s` : (failure ?? `exit ${code}: ${output.slice(-400)}`),
        seconds: (performance.now() - startedAt) / 1000,
      })
    })
  })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    stopping = true
    stopRunner()
  })
process.exitCode = await main()
