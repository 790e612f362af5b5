import { createKeys, OVERLAP_SECONDS } from '#domain/keys.ts'
import { keyView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { CLI, type CliDeps, readArgs, readTime, UsageError } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Replace a key; the old one works on for an overlap. Shows the new secret, once.'
export const usage = `usage: fluxgate key rotate KEY_ID [--overlap DURATION] [--expires TIME] [--json]

DURATION is a number with s, m, h or d, as in 48h: 24h unless told otherwise, at most 30d, 0s ends the old key at once.
The new key lives as long as the old one was made for, unless TIME says otherwise: 2026-12-31T23:59:59Z, or never.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, { overlap: { type: 'string' }, expires: { type: 'string' } }, ['KEY_ID'])
  const [id = ''] = words
  const overlapSeconds = values.overlap === undefined ? OVERLAP_SECONDS.default : readOverlap(values.overlap)
  const expiresAt =
    values.expires === undefined ? undefined : values.expires === 'never' ? null : readTime(values.expires, '--expires')
  const { key, secret, replaced } = await withDatabase(deps, (db) =>
    createKeys({ db }).rotate(id, { overlapSeconds, ...(expiresAt !== undefined && { expiresAt }), by: CLI }),
  )
  if (values.json) printJson(deps.out, { ...keyView(key), secret, replaced: keyView(replaced) })
  else
    deps.out.write(
      `created ${key.id} ${key.name}\n${secret}\nThis is the only time that the secret is shown.\n` +
        `${replaced.id} works until ${replaced.expiresAt?.toISOString()}\n`,
    )
  return 0
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

function readOverlap(text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,7})([smhd])$/.exec(text) ?? []
  const seconds = Number(count) * (unitSeconds[unit] ?? Number.NaN)
  if (!(seconds <= OVERLAP_SECONDS.max)) throw new UsageError('--overlap must be 0s to 30d, as in 48h')
  return seconds
}
