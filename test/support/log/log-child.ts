// Keeps a log for one turn, in a process that ends itself at a named step: node log-child.ts '{"url", "dir", "step"}'.

import { createPool } from '#db/pool.ts'
import { openTestLog } from '#test/support/log/test-log.ts'

const { url, dir, step } = JSON.parse(process.argv[2] ?? '{}') as { url: string; dir: string; step: string }

function reached(at: string): void {
  if (at === step) process.kill(process.pid, 'SIGKILL')
}

const connection = { connectionString: url }
const db = createPool({ connection, poolMax: 2 }, () => undefined)
const log = await openTestLog({ db, connection }, dir, { reached, reachedFile: reached })
await log.turn()
await log.close()
await db.end()
if (log.errors.length > 0) throw log.errors[0]
