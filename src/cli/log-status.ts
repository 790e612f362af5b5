import { parseCheckpoint } from '#billing/tlog/checkpoint.ts'
import { parseNote } from '#billing/tlog/note.ts'
import { CHECKPOINT_FILE, createLogFiles } from '#domain/log/log-files.ts'
import { readLogStatus } from '#domain/log/log-status.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, logToolsOf, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'

export const summary = 'Show the receipt log: its size, what waits for it, what is published here, who cosigned.'
export const usage = `usage: fluxgate log status [--json]

Reads the database and the files in LOG_DIR. Exit code 1 when there is no log yet.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const status = await withDatabase(deps, readLogStatus)
  const published = await publishedIn(logToolsOf(deps).dir)
  if (status === undefined) {
    deps.err.write('There is no receipt log yet: the first start of a gateway begins it.\n')
    return 1
  }
  const { head, signedAt, queue, witnesses, unwitnessedMs } = status
  if (values.json) {
    printJson(deps.out, {
      origin: head.origin,
      size: head.size,
      root: head.root.toString('base64'),
      signed_at: signedAt.toISOString(),
      queue_depth: queue.depth,
      queue_age_ms: Math.round(queue.ageMs),
      published: published ?? null,
      unwitnessed_ms: Math.round(unwitnessedMs),
      witnesses: witnesses.map(({ witness, size, at }) => ({ witness, size, at: at.toISOString() })),
    })
    return 0
  }
  printTable(deps.out, [
    ['origin', head.origin],
    ['size', String(head.size)],
    ['root', head.root.toString('base64')],
    ['signed at', signedAt.toISOString()],
    ['waiting', queue.depth === 0 ? 'nothing' : `${queue.depth} batches, the first for ${seconds(queue.ageMs)}`],
    [
      'published',
      published === undefined
        ? `nothing in ${logToolsOf(deps).dir}`
        : `${published.size} leaves of ${published.origin}`,
    ],
    ...witnesses.map(({ witness, size, at }) => ['witness', `${witness}: ${size} leaves at ${at.toISOString()}`]),
    ...(witnesses.length > 0 ? [['unwitnessed', seconds(unwitnessedMs)]] : []),
  ])
  return 0
}

async function publishedIn(dir: string): Promise<{ origin: string; size: number } | undefined> {
  const text = await createLogFiles(dir).readCheckpoint(CHECKPOINT_FILE)
  if (text === undefined) return undefined
  const { origin, size } = parseCheckpoint(parseNote(text).text)
  return { origin, size }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
