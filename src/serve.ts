import { type Logger, pino } from 'pino'
import { utcMillis } from '#lib/utc-millis.ts'
import { type App, createApp } from './app.ts'
import type { Config } from './config.ts'
import { greeting } from './greeting.ts'
import { type Installation, openInstallation } from './installation.ts'
import { welcome } from './welcome.ts'

const EXIT_INTERRUPTED = 130
/** What is logged leaves when there is so much of it, or after so long. */
const LOG_CHARS = 4_096
const LOG_MS = 100
const LINGER_MS_MAX = 2_000
/** A terminal and the launcher may both deliver one Ctrl-C. */
const SAME_SIGNAL_MS = 300

/** The `api` role: the one server. Resolves to the exit code once it has been stopped, could not start or cannot go on. */
export async function serve(config: Config, out: NodeJS.WritableStream, err: NodeJS.WritableStream): Promise<number> {
  // Every write wakes a thread, which costs more than the line itself: lines go out together, a moment later.
  const destination = pino.destination({ sync: false, minLength: LOG_CHARS, periodicFlush: LOG_MS })
  // Whoever reads the output may leave. What is still to be written is dropped then: flushing it would never end.
  let isRead = true
  const onOutputError = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    isRead = false
  }
  const flushLog = () => {
    if (isRead) destination.flushSync()
  }
  out.on('error', onOutputError)
  err.on('error', onOutputError)
  process.on('exit', flushLog)
  const timestamp = () => `,"time":"${utcMillis(Date.now())}"`
  const log = pino({ level: config.LOG_LEVEL, base: null, timestamp }, destination)
  const stopping = Promise.withResolvers<string>()
  let firstSignalMs: number | undefined
  let app: App | undefined
  const onSignal = (signal: string) => {
    stopping.resolve(signal)
    firstSignalMs ??= performance.now()
    if (performance.now() - firstSignalMs < SAME_SIGNAL_MS) return
    // Nothing is lost by leaving in the middle of a start.
    if (app === undefined) process.exit(EXIT_INTERRUPTED)
    app.cut()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)

  let installation: Installation | undefined
  try {
    installation = await openInstallation(config, log)
    app = await createApp(config, installation, log)
    const first = await welcome(config, app)
    const url = await app.listen()
    out.write(greeting({ url, config, installation, first }))
    log.info({ url }, 'ready')
    const signal = await Promise.race([stopping.promise, installation.lost])
    log.info({ signal, openCalls: app.openCalls() }, 'stopping: running calls may finish')
    return 0
  } catch (error) {
    log.debug({ err: error }, 'the gateway cannot run')
    err.write(`\n${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  } finally {
    await closeAll(log, app, installation)
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    flushLog()
    // Everything is closed. What lingers all the same, as a connection into a silent network, must not keep the process.
    setTimeout(() => process.exit(), LINGER_MS_MAX).unref()
  }
}

/** What cannot be closed is logged; the rest is closed all the same. */
async function closeAll(log: Logger, ...parts: ({ close(): Promise<void> } | undefined)[]): Promise<void> {
  for (const part of parts) {
    try {
      await part?.close()
    } catch (error) {
      log.error({ err: error }, 'closing failed')
    }
  }
}
