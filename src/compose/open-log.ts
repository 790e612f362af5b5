import { mkdir } from 'node:fs/promises'
import { lockDataDir } from '#adapters/data-lock.ts'
import { postText } from '#adapters/post-text.ts'
import type { Db } from '#db/pool.ts'
import { createLogFiles } from '#domain/log/log-files.ts'
import type { LogHaltError } from '#domain/log/log-head.ts'
import { createLogKeeper } from '#domain/log/log-keeper.ts'
import { createLogProofs } from '#domain/log/log-proofs.ts'
import { createLogSigner } from '#domain/log/log-signer.ts'
import { openPublisher } from '#domain/log/publish.ts'
import { createWitnessClient, readWitness } from '#domain/log/witness-client.ts'
import { createLogMetrics } from './log-metrics.ts'
import type { Parts } from './parts.ts'

/** What waits longer than this is told in the log, once in ALARM_EVERY_MS. A receipt's place in the log is promised within 60 s. */
const ALARM_MS = 10_000
const ALARM_EVERY_MS = 60_000
const WITNESS_MS_MAX = 10_000

/** The public log: what keeps it going and what reads it. Throws LogHaltError when it must not be continued. */
export async function openLog({ config, installation, log, registry, opened }: Parts, db: Db) {
  const signer = await createLogSigner(config.RECEIPT_LOG_ORIGIN, installation.logSigner)
  const dir = config.LOG_DIR
  // Made here, so that the lock does not close it to whoever serves it beside us.
  await mkdir(dir, { recursive: true, mode: 0o755 })
  const lock = await lockDataDir(dir, 'log').catch((cause: unknown) => {
    throw new Error(`The log folder ${dir} cannot be used (LOG_DIR): ${String(cause)}`, { cause })
  })
  opened.defer(() => lock.release())
  const files = createLogFiles(dir)
  const publisher = await openPublisher({
    db,
    signer,
    files,
    onRebuild: (why) => log.warn({ dir, why }, 'the files of the receipt log are made again from the database'),
  })
  const logProofs = createLogProofs({ db, files, publisher, vkey: signer.vkey })
  const witnesses = createWitnessClient({
    db,
    signer,
    logProofs,
    witnesses: await Promise.all(config.LOG_WITNESSES?.map(readWitness) ?? []),
    post: (url, body) => postText(url, body, WITNESS_MS_MAX),
    everyMs: config.LOG_WITNESS_INTERVAL_MS,
    onError: (witness, error) => log.warn({ witness, err: error }, 'a witness did not cosign the receipt log'),
    onAhead: (witness, sizes) =>
      log.error(
        { witness, ...sizes },
        'a witness has seen more of the receipt log than this database has: was it restored?',
      ),
  })
  opened.defer(() => witnesses.close())
  const metrics = createLogMetrics(registry, { published: () => publisher.published() })
  const alarm = atMostEvery(ALARM_EVERY_MS)
  const complaint = atMostEvery(ALARM_EVERY_MS)
  const keeper = createLogKeeper({
    db,
    connection: installation.connection,
    signer,
    publisher,
    everyMs: config.LOG_INTERVAL_MS,
    onTurn({ queue, leading }) {
      metrics.turn(queue, leading)
      if (leading) witnesses.ask()
      if (queue.ageMs > ALARM_MS)
        alarm(() => log.error({ ...queue }, 'signed batches wait too long for their place in the receipt log'))
    },
    onError: (error) => complaint(() => log.warn({ err: error }, 'the receipt log stands still; trying again')),
    onHalt(error) {
      metrics.halted()
      log.fatal({ err: error }, 'the receipt log is halted')
    },
  })
  opened.defer(() => keeper.close())
  return { logProofs, halted: (): LogHaltError | undefined => keeper.halted() }
}

function atMostEvery(ms: number): (work: () => void) => void {
  let last = Number.NEGATIVE_INFINITY
  return (work) => {
    if (performance.now() - last < ms) return
    last = performance.now()
    work()
  }
}
