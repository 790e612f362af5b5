import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { createLeaderConnection } from '#db/leader-connection.ts'
import type { Db } from '#db/pool.ts'
import { LogHaltError } from './log-head.ts'
import { type LogQueue, readQueue } from './log-queue.ts'
import type { LogSigner } from './log-signer.ts'
import type { Publisher } from './publish.ts'
import { LEAVES_PER_COMMIT_MAX, type SequenceStep, sequence } from './sequence.ts'

const LEADER = 'fluxgate log sequencer'
/** Commits in one turn, so that files keep up with a long queue. */
const COMMITS_PER_TURN_MAX = 16

export interface LogKeeperOptions {
  db: Db
  connection: pg.ClientConfig
  signer: LogSigner
  publisher: Publisher
  /** From the end of one turn to the next. */
  everyMs: number
  /** After each turn; `leading` tells whether this process sequenced. */
  onTurn: (turn: { queue: LogQueue; leading: boolean }) => void
  onError: (error: unknown) => void
  /** The log is not kept any further by this process. */
  onHalt: (error: LogHaltError) => void
  leavesMax?: number
  reached?: (step: SequenceStep) => void
}

/**
 * Keeps the log: one process of all that share the database moves what was signed into it, every one publishes files. Off the path of
 * every request; whatever fails is tried again at the next turn.
 */
export function createLogKeeper(options: LogKeeperOptions) {
  const { db, signer, publisher, everyMs, leavesMax = LEAVES_PER_COMMIT_MAX } = options
  const closing = new AbortController()
  const leader = createLeaderConnection(options.connection, { name: LEADER, onLost: options.onError })
  let halted: LogHaltError | undefined
  let turning: Promise<void> | undefined

  /** One turn; whoever asks while one is under way gets that one. */
  function turn(): Promise<void> {
    turning ??= takeTurn().finally(() => {
      turning = undefined
    })
    return turning
  }

  async function takeTurn(): Promise<void> {
    if (halted !== undefined) return
    try {
      await sequenceAll()
      await publisher.publish()
      options.onTurn({ queue: await readQueue(db), leading: leader.leading })
    } catch (error) {
      if (error instanceof LogHaltError) {
        halted = error
        await leader.close()
        options.onHalt(error)
      } else if (!closing.signal.aborted) options.onError(error)
    }
  }

  async function sequenceAll(): Promise<void> {
    const client = await leader.lead()
    if (client === undefined) return
    try {
      for (let commits = 0; commits < COMMITS_PER_TURN_MAX; commits += 1) {
        const { reached } = options
        const added = await sequence(client, {
          signer,
          published: publisher.published,
          leavesMax,
          ...(reached && { reached }),
        })
        if (added < leavesMax) return
        await publisher.publish()
      }
    } catch (error) {
      leader.abandon()
      throw error
    }
  }

  const keeping = (async () => {
    while (!closing.signal.aborted) {
      await turn()
      await delay(everyMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
    }
  })()

  return {
    turn,
    halted: () => halted,

    async close(): Promise<void> {
      closing.abort()
      await keeping
      await leader.close()
    },
  }
}
