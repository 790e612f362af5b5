// Loaded into a gateway with `node --import`: kills it, without a word, at one exact point of its dealings with the database
// or the spool. FLUXGATE_CRASH_AT names the point and the occurrence, as in `settle:sent:3`.
import { type FileHandle, open } from 'node:fs/promises'
import pg from 'pg'

/** When, around a query: it has not been sent; it has; its answer is here but nobody has acted upon it. */
const moments = ['before', 'sent', 'answered'] as const
type Moment = (typeof moments)[number]

/** How to tell the statements apart: by the name of a prepared one, else by their text. */
const statements: Record<string, RegExp> = {
  reserve: /^reserve$/,
  extend: /^extend$/,
  settle: /^settle$/,
  claim: /from claim_slot\(/,
  sweep: /from hold h\s+where/,
  release: /set released = true/,
  migrate: /create table wallet/,
}

/** When, around an append to the spool: half of the line is written; all of it; it is flushed. */
const spoolMoments = ['torn', 'written', 'flushed'] as const

const [point, moment, occurrence] = (process.env.FLUXGATE_CRASH_AT ?? '').split(':')
let left = Number(occurrence)

function die(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('nobody survives this')
}

function isDue(): boolean {
  left -= 1
  return left === 0
}

function watchQueries(pattern: RegExp, at: Moment): void {
  const { query } = pg.Client.prototype
  function watched(this: pg.Client, ...args: unknown[]) {
    const [config] = args as [string | { name?: string; text?: string }]
    const name = typeof config === 'string' ? config : (config?.name ?? config?.text ?? '')
    if (!pattern.test(name) || !isDue()) return Reflect.apply(query, this, args)
    if (at === 'before') die()
    const last = args.at(-1)
    if (at === 'answered' && typeof last === 'function') args[args.length - 1] = die
    const result: unknown = Reflect.apply(query, this, args)
    if (at === 'sent') die()
    if (result instanceof Promise) result.then(die, die)
    return result
  }
  pg.Client.prototype.query = watched as typeof query
}

async function watchSpool(at: (typeof spoolMoments)[number]): Promise<void> {
  const probe = await open('/dev/null')
  const handle = Object.getPrototypeOf(probe) as FileHandle
  await probe.close()
  const { appendFile, datasync } = handle
  handle.appendFile = async function (this: FileHandle, data, options) {
    if (at === 'flushed' || !isDue()) return appendFile.call(this, data, options)
    const bytes = Buffer.from(data as Buffer)
    await appendFile.call(this, at === 'torn' ? bytes.subarray(0, bytes.length / 2) : bytes)
    die()
  }
  handle.datasync = async function (this: FileHandle) {
    await datasync.call(this)
    if (at === 'flushed' && isDue()) die()
  }
}

const pattern = statements[point ?? '']
const queryMoment = moments.find((one) => one === moment)
const spoolMoment = spoolMoments.find((one) => one === moment)
if (!(left > 0)) throw new Error('FLUXGATE_CRASH_AT names a point, a moment and an occurrence')
if (pattern !== undefined && queryMoment !== undefined) watchQueries(pattern, queryMoment)
else if (point === 'spool' && spoolMoment !== undefined) await watchSpool(spoolMoment)
else throw new Error(`FLUXGATE_CRASH_AT names no known point: ${point}:${moment}`)
