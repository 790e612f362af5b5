import { setTimeout as delay } from 'node:timers/promises'
import { parseVerifierKey, type VerifierKey } from '#billing/tlog/verifier-key.ts'
import { readIfThere, writeDurably } from '#domain/log/durable-file.ts'
import { LogUnreachableError, type MonitorFinding, monitorLog } from '#domain/log/monitor.ts'
import { type CliDeps, readArgs, UsageError } from './command.ts'
import { interrupted } from './interrupted.ts'
import { createHttpLogSource } from './log-source.ts'
import { printJson } from './print.ts'

const INTERVAL_SECONDS_MAX = 86_400

export const summary = 'Watch a receipt log: its signature, that it only grows, and every leaf and tile below it.'
export const usage = `usage: fluxgate log monitor URL [--vkey VKEY] [--state FILE] [--witness VKEY]... [--quorum N]
                            [--interval SECONDS] [--full] [--json]

URL is where checkpoint and tile/ are: https://gateway.example/log.
--vkey      the log's key. Without it, the one in FILE, else the one that the log shows: believed once, then kept in FILE.
--state     keeps the checkpoint and the key, so that the next run demands that the log continues it.
--witness   a key of a witness; --quorum of them have to have cosigned, all unless said otherwise. The monitor then follows the
            newest checkpoint that witnesses cosigned.
--interval  looks again and again until it is interrupted. Otherwise once.
--full      reads every leaf from the first on, not only new ones.

A fork is reported with both checkpoints, which prove it to anybody, and written beside FILE as FILE.fork.json.
Exit code: 0 all is well, 1 the log misbehaves, 2 it could not be looked at.
`

interface State {
  vkey: string
  checkpoint?: string
}

export async function run(
  deps: Pick<CliDeps, 'out' | 'err'> & { signal?: AbortSignal },
  args: string[],
): Promise<number> {
  const { values, words } = readArgs(
    args,
    {
      vkey: { type: 'string' },
      state: { type: 'string' },
      witness: { type: 'string', multiple: true },
      quorum: { type: 'string' },
      interval: { type: 'string' },
      once: { type: 'boolean' },
      full: { type: 'boolean' },
    },
    ['URL'],
  )
  const [url = ''] = words
  const witnesses = await Promise.all((values.witness ?? []).map((vkey) => readKey(vkey, '--witness', 'cosignature')))
  const quorum = readCount(values.quorum, '--quorum', witnesses.length) ?? witnesses.length
  const intervalMs = (readCount(values.interval, '--interval', INTERVAL_SECONDS_MAX) ?? 0) * 1000
  const source = createHttpLogSource(url, { witnessed: witnesses.length > 0 })

  const stopped = interrupted(deps.signal)
  const stop = new AbortController()
  void stopped.then(() => stop.abort())
  let state = await readState(values.state)
  let code = 2
  do {
    try {
      state ??= { vkey: values.vkey ?? (await source.vkey()) }
      const log = await readKey(values.vkey ?? state.vkey, '--vkey', 'note')
      if (state.checkpoint !== undefined && values.vkey !== undefined && values.vkey !== state.vkey)
        throw new UsageError('--vkey is not the key of the checkpoint in --state: use another file for another log')
      const { finding, keep } = await monitorLog({
        source,
        policy: { log, witnesses, quorum },
        kept: state.checkpoint,
        full: values.full === true,
      })
      state = { vkey: values.vkey ?? state.vkey, ...(keep !== undefined && { checkpoint: keep }) }
      if (values.state !== undefined) await writeState(values.state, state, finding)
      report(deps, finding, values.json === true)
      code = finding.state === 'ok' || finding.state === 'stale' ? 0 : 1
      if (finding.state === 'fork') return code
    } catch (error) {
      if (!(error instanceof LogUnreachableError)) throw error
      deps.err.write(`${error.message}\n`)
      code = intervalMs > 0 ? code : 2
    }
    if (intervalMs > 0) await delay(intervalMs, undefined, { signal: stop.signal }).catch(() => undefined)
  } while (intervalMs > 0 && values.once !== true && !stop.signal.aborted)
  return code
}

async function readKey(vkey: string, option: string, type: VerifierKey['type']): Promise<VerifierKey> {
  const key = await parseVerifierKey(vkey).catch((error: Error) => {
    throw new UsageError(`${option}: ${error.message}`)
  })
  if (key.type !== type) throw new UsageError(`${option} is a key of another kind`)
  return key
}

function readCount(text: string | undefined, option: string, max: number): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text) || Number(text) > max)
    throw new UsageError(`${option} must be an integer from 0 to ${max}`)
  return Number(text)
}

async function readState(path: string | undefined): Promise<State | undefined> {
  const text = path === undefined ? undefined : await readIfThere(path)
  if (text === undefined) return undefined
  try {
    const { v, vkey, checkpoint } = JSON.parse(text) as Record<string, unknown>
    if (v !== 1 || typeof vkey !== 'string' || typeof checkpoint !== 'string') throw new Error('a member is missing')
    return { vkey, checkpoint }
  } catch (cause) {
    // Never begun anew by itself: the checkpoint in it may be what proves a fork.
    throw new UsageError(`${path} is not the state of a monitor: ${cause instanceof Error ? cause.message : cause}`)
  }
}

async function writeState(path: string, { vkey, checkpoint }: State, finding: MonitorFinding): Promise<void> {
  if (checkpoint !== undefined)
    await writeDurably(path, `${JSON.stringify({ v: 1, vkey, checkpoint }, undefined, 2)}\n`)
  if (finding.state === 'fork') {
    const { kept, seen, problem } = finding
    await writeDurably(`${path}.fork.json`, `${JSON.stringify({ v: 1, vkey, problem, kept, seen }, undefined, 2)}\n`)
  }
}

function report({ out }: Pick<CliDeps, 'out'>, finding: MonitorFinding, json: boolean): void {
  if (json) {
    printJson(out, { ok: finding.state === 'ok' || finding.state === 'stale', ...finding })
    return
  }
  switch (finding.state) {
    case 'ok':
    case 'stale': {
      const by = finding.cosignatures.map(({ name }) => name).join(', ')
      const read =
        finding.state === 'ok'
          ? `${finding.checked} leaves read`
          : 'older than what was seen before, of the same history'
      out.write(`ok: ${finding.size} leaves, ${read}${by === '' ? '' : `, cosigned by ${by}`}\n`)
      return
    }
    case 'fork':
      out.write(shown(`FORK: ${finding.problem}\n\nseen before:\n\n${finding.kept}\nserved now:\n\n${finding.seen}`))
      return
    case 'signature':
    case 'tiles':
      out.write(shown(`FAILED: ${finding.problem}\n\nserved now:\n\n${finding.seen}\n`))
  }
}

/** Whatever the log serves, it cannot steer the terminal. Notes have line feeds, and a dash before each signature. */
function shown(text: string): string {
  return text.replace(/[^\x20-\x7e\n—]/g, '?')
}
