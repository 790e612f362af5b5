import { Gauge, type Registry } from 'prom-client'
import type { LogQueue } from '#domain/log/log-queue.ts'
import type { Published } from '#domain/log/publish.ts'

/** What an operator watches of the receipt log. */
export function createLogMetrics(registry: Registry, sources: { published: () => Published | undefined }) {
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name: `fluxgate_log_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(value())
      },
    })
  let queue: LogQueue = { depth: 0, ageMs: 0 }
  let isLeader = false
  let isHalted = false
  /** When the witnessed size fell behind. */
  let behindSince: number | undefined

  gauge('size', 'Leaves of the receipt log that this process publishes.', () => sources.published()?.size ?? 0)
  gauge('queue_depth', 'Signed batches that wait for their place in the receipt log.', () => queue.depth)
  gauge('queue_age_seconds', 'How long the first of them has waited.', () => queue.ageMs / 1000)
  gauge('leader', '1 in the process that puts them there.', () => Number(isLeader))
  gauge('halted', '1 when the receipt log is not continued: the gateway says why in its own log.', () =>
    Number(isHalted),
  )
  gauge('witnessed_size', 'Leaves that witnesses have cosigned.', () => sources.published()?.witnessed?.size ?? 0)
  gauge('unwitnessed_seconds', 'How long the log has been larger than what witnesses cosigned.', () =>
    behindSince === undefined ? 0 : (performance.now() - behindSince) / 1000,
  )

  return {
    turn(now: LogQueue, leading: boolean): void {
      queue = now
      isLeader = leading
      const published = sources.published()
      const behind =
        published !== undefined && published.witnessed !== undefined && published.witnessed.size < published.size
      behindSince = behind ? (behindSince ?? performance.now()) : undefined
    },
    halted(): void {
      isHalted = true
      isLeader = false
    },
  }
}
