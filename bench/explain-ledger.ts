// Where PostgreSQL spends a hold and a settlement: each statement of reserve() and settle() with its own time and that of
// its triggers, per call, as auto_explain sees it. The watching itself costs as much again, so only shares count; and the
// check of a foreign key is a query of its own that is told one by one, so it looks ten times dearer than it is.
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { openBenchDatabase } from './bench-database.ts'
import { startCallers } from './ledger-callers.ts'
import { fixed, renderTable } from './render-results.ts'

const WARM_MS = 1_000
const TEXT_CHARS_MAX = 90

const WATCHING = [
  'session_preload_libraries=auto_explain',
  'auto_explain.log_min_duration=0',
  'auto_explain.log_nested_statements=on',
  'auto_explain.log_analyze=on',
  'auto_explain.log_timing=on',
  'auto_explain.log_buffers=off',
  'auto_explain.log_triggers=on',
  'auto_explain.log_format=json',
  // The lanes ask to hear warnings only.
  'auto_explain.log_level=warning',
]

interface Explained {
  'Query Text': string
  Triggers?: { 'Trigger Name': string; 'Constraint Name'?: string; Relation: string; Time: number; Calls: number }[]
}

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '64' },
    duration: { type: 'string', default: '3' },
    help: { type: 'boolean' },
  },
})
if (values.help === true) {
  process.stdout.write('usage: node bench/explain-ledger.ts [--callers N] [--duration SECONDS]\n')
} else {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'fluxgate-explain-'))
  await chmod(folder, 0o755)
  const database = await openBenchDatabase(folder)
  try {
    const url = await database.create('explain')
    process.stdout.write(await explain(url, Number(values.callers), Number(values.duration) * 1000))
  } finally {
    await database.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

async function explain(connectionString: string, callers: number, durationMs: number): Promise<string> {
  const spent = new Map<string, { ms: number; times: number }>()
  let listening = false
  function add(name: string, ms: number, times: number): void {
    const sum = spent.get(name) ?? { ms: 0, times: 0 }
    spent.set(name, { ms: sum.ms + ms, times: sum.times + times })
  }
  hearNotices((message) => {
    const [, ms, plan] = /^duration: ([\d.]+) ms\s+plan:\n(.*)$/s.exec(message) ?? []
    if (!listening || plan === undefined) return
    const { 'Query Text': text, Triggers: triggers = [] } = JSON.parse(plan) as Explained
    add(text.replace(/\s+/g, ' ').trim().slice(0, TEXT_CHARS_MAX), Number(ms), 1)
    for (const trigger of triggers) {
      const name = trigger['Constraint Name'] ?? trigger['Trigger Name']
      add(`- of these, trigger ${name} on ${trigger.Relation}`, trigger.Time, trigger.Calls)
    }
  })
  const options = WATCHING.map((setting) => `-c ${setting}`).join(' ')
  const { counts, stop } = await startCallers({
    connection: { connectionString, options },
    instance: 'explain',
    callers,
  })
  await delay(WARM_MS)
  const before = counts.settled
  listening = true
  await delay(durationMs)
  listening = false
  const calls = counts.settled - before
  await stop()
  const rows = [...spent]
    .toSorted((a, b) => b[1].ms - a[1].ms)
    .map(([name, { ms, times }]) => [name, fixed((ms * 1000) / calls, 1), fixed(times / calls, 3)])
  return `${calls} calls. A statement's time includes its triggers and the statements inside of it.\n\n${renderTable(['statement', 'µs per call', 'times per call'], rows)}\n`
}

/** The ledger keeps its connections to itself, so notices are caught where every client emits them. */
function hearNotices(hear: (message: string) => void): void {
  const emit = pg.Client.prototype.emit
  pg.Client.prototype.emit = function (this: pg.Client, name: string | symbol, ...args: unknown[]): boolean {
    if (name === 'notice') hear(String((args[0] as { message?: string }).message))
    return emit.call(this, name, ...args)
  }
}
