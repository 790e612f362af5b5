// Puts the figures of a run into docs/performance.md: node bench/run.ts --json results.json, then
// node bench/write-report.ts results.json. Everything outside of the marks is written by hand and stays.
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { renderGoals } from './goals.ts'
import { type Results, renderMemory, renderTwo, renderWorkload } from './render-results.ts'
import { workloads } from './workloads.ts'

const DOCUMENT = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
const START = '<!-- figures: start -->'
/** A load average above this before a run is somebody else's. */
const BUSY_LOAD = 0.5
const END = '<!-- figures: end -->'

const [path] = process.argv.slice(2)
if (path === undefined) {
  process.stderr.write('usage: node bench/write-report.ts RESULTS.json\n')
  process.exitCode = 2
} else {
  const results = JSON.parse(await readFile(path, 'utf8'), restoreMissing) as Results
  const text = await readFile(DOCUMENT, 'utf8')
  const start = text.indexOf(START)
  const end = text.indexOf(END)
  if (start < 0 || end < start) throw new Error(`${DOCUMENT} has no place for figures`)
  const figures = renderFigures(results)
  await writeFile(DOCUMENT, `${text.slice(0, start + START.length)}\n\n${figures}\n${text.slice(end)}`)
}

function renderFigures(results: Results): string {
  const { machine, placement, flush, totals } = results
  const measured = workloads.filter(({ name }) => results.rows.some(({ workload }) => workload === name))
  const charged = totals.reduce((sum, { recordedNanos }) => sum + BigInt(recordedNanos), 0n)
  const delivered = totals.reduce((sum, { deliveredNanos }) => sum + BigInt(deliveredNanos), 0n)
  return [
    `Measured on ${results.at.slice(0, 10)}: ${machine.processors} processors (${machine.cpu}), ${machine.memoryGb} GB, Linux ` +
      `in a virtual machine, Node ${machine.node}, ${results.database}. A page reached the disk in ${flush.p50Ms.toFixed(2)} ms ` +
      `(p50; p99 ${flush.p99Ms.toFixed(2)} ms). ` +
      (placement === null
        ? 'Nothing was pinned. '
        : 'The variant under test had one processor, PostgreSQL, the simulator and the load generator the other. ') +
      `${results.rounds} rounds of ${results.windowMs} ms. Load average before the run ${machine.loadBefore.toFixed(2)}` +
      `${results.stolen === null ? '' : `, ${(results.stolen * 100).toFixed(1)} % stolen by the hypervisor during it`}.` +
      (machine.loadBefore > BUSY_LOAD
        ? ' **Other work was running on the machine: calls a second and latencies say little, ratios within a round say something.**'
        : ''),
    '',
    renderGoals(results),
    ...measured.map(({ name }) => renderWorkload(name, results.rows)),
    ...(results.memory.length > 0 ? [renderMemory(results.memory)] : []),
    ...(results.two.length > 0 ? [renderTwo(results.two)] : []),
    `Ledger total ${charged}, simulator's own total ${delivered} nano-dollars, over ` +
      `${totals.reduce((sum, { calls }) => sum + calls, 0)} calls.`,
    '',
  ].join('\n')
}

/** JSON has no NaN: what was not measured comes back as null. */
function restoreMissing(key: string, value: unknown): unknown {
  return value === null && key !== 'placement' && key !== 'stolen' ? Number.NaN : value
}
