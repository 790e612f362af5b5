import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A process of this folder that takes orders and answers each with one message. */
export interface WorkerProcess<Orders extends object, Answer> {
  pid: number
  /** One at a time. Rejects when the process ends before it has answered, and after `msMax`, which ends it. */
  ask(orders: Orders, msMax: number): Promise<Answer>
  close(): void
}

/** Forks a file of this folder, pinned to `processors` when they are given (Linux, needs taskset). */
export function startWorker<Orders extends object, Answer>(
  file: string,
  processors: string | undefined,
): WorkerProcess<Orders, Answer> {
  const pinned =
    processors === undefined
      ? { execArgv: [] }
      : { execPath: 'taskset', execArgv: ['-c', processors, process.execPath] }
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [], pinned)
  return {
    pid: child.pid ?? -1,

    async ask(orders, msMax) {
      const limit = setTimeout(() => child.kill('SIGKILL'), Math.min(msMax, 2 ** 31 - 1))
      const over = new AbortController()
      try {
        const ended = once(child, 'exit', over).then(([code, signal]) => {
          throw new Error(`${file} ended early (${signal ?? code})`)
        })
        const answered = once(child, 'message', over).then(([answer]) => answer as Answer)
        child.send(orders, (error) => error !== null && over.abort(error))
        return await Promise.race([answered, ended])
      } finally {
        clearTimeout(limit)
        over.abort()
      }
    },

    close() {
      if (child.connected) child.disconnect()
    },
  }
}
