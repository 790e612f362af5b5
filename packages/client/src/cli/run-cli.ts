import { parseArgs } from 'node:util'
import { FluxgateError, LockfileError, ResolutionError } from '../errors.ts'
import type { Environment } from '../resolve.ts'
import { commands, usage } from './commands.ts'
import { printable } from './table.ts'

/** What the commands touch, so that tests can stand in for it. */
export interface Deps {
  /** Resolves when more may be written. */
  out(text: string): void | Promise<void>
  err(text: string): void
  env: Environment
  cwd: string
  now(): Date
}

export interface Arguments {
  words: string[]
  file: string | undefined
  profile: string | undefined
  isForced: boolean
  isJson: boolean
  isRemoval: boolean
  isAll: boolean
  isPartial: boolean
  /** Compare with the gateway's registry. */
  isServer: boolean
  registry: string[]
  pinnedRegistry: string[]
  /** All other options, as they were given. */
  values: Readonly<Partial<Record<TextFlag, string>>>
}

/** Resolves to the exit code: 0 all is well, 1 something is wrong with what was looked at, 2 it could not be done. */
export type Command = (args: Arguments, deps: Deps) => Promise<number>

const textOptions = {
  url: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  tz: { type: 'string' },
  'group-by': { type: 'string' },
  output: { type: 'string', short: 'o' },
  limit: { type: 'string' },
  alias: { type: 'string' },
  model: { type: 'string' },
  origin: { type: 'string' },
  provider: { type: 'string' },
  key: { type: 'string' },
  project: { type: 'string' },
  source: { type: 'string' },
  keys: { type: 'string' },
  overlap: { type: 'string' },
} as const

const options = {
  ...textOptions,
  file: { type: 'string', short: 'f' },
  profile: { type: 'string', short: 'p' },
  force: { type: 'boolean' },
  json: { type: 'boolean' },
  remove: { type: 'boolean' },
  all: { type: 'boolean' },
  partial: { type: 'boolean' },
  server: { type: 'boolean' },
  registry: { type: 'string', multiple: true },
  'pinned-registry': { type: 'string', multiple: true },
  help: { type: 'boolean', short: 'h' },
} as const

type TextFlag = keyof typeof textOptions

/** The names of all options that a command may take. */
export type Flag = Exclude<keyof typeof options, 'help'>

/** Never throws for what it is given to read. */
export async function runCli(args: readonly string[], deps: Deps): Promise<number> {
  const parsed = parse(args)
  if (parsed === 'help') {
    await deps.out(usage)
    return 0
  }
  if ('problem' in parsed) {
    deps.err(`${parsed.problem}\n\n${usage}`)
    return 2
  }
  try {
    return await parsed.run(parsed.args, deps)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    deps.err(`${error instanceof FluxgateError ? describe(error) : error.message}\n`)
    if (error instanceof LockfileError && error.code === 'lockfile_missing')
      deps.err('Run "fluxgate-client lock init" to make one, or name one with --file.\n')
    for (const { at, message } of error instanceof LockfileError ? error.problems.slice(1) : [])
      deps.err(`${at} ${message}\n`)
    const isRejected = error instanceof FluxgateError && (error.status === 401 || error.status === 403)
    return error instanceof LockfileError || error instanceof ResolutionError || isRejected ? 1 : 2
  }
}

/** What the gateway says, and what to name when asking its operator. */
function describe({ message, code, requestId, status }: FluxgateError): string {
  const what = status === 401 ? 'the key is rejected: ' : ''
  return printable(`${what}${message} (${code}${requestId === undefined ? '' : `, ${requestId}`})`)
}

function parse(args: readonly string[]): { run: Command; args: Arguments } | { problem: string } | 'help' {
  let parsed: ReturnType<typeof parseWords>
  try {
    parsed = parseWords(args)
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
  const { values, positionals } = parsed
  if (values.help === true) return 'help'
  const found = commands.find(({ name }) => name.split(' ').every((word, index) => positionals[index] === word))
  if (found === undefined)
    return {
      problem:
        positionals.length === 0
          ? 'a command is missing'
          : `there is no command ${JSON.stringify(positionals.join(' '))}`,
    }
  const words = positionals.slice(found.name.split(' ').length)
  const [least, most] = found.words
  if (words.length < least || words.length > most)
    return {
      problem: `${found.name} takes ${describeWords(least, most)}`,
    }
  const stray = Object.keys(values).find((flag) => !found.flags.some((known) => known === flag))
  if (stray !== undefined) return { problem: `${found.name} takes no --${stray}` }
  return {
    run: found.run,
    args: {
      words,
      file: values.file,
      profile: values.profile,
      isForced: values.force === true,
      isJson: values.json === true,
      isRemoval: values.remove === true,
      isAll: values.all === true,
      isPartial: values.partial === true,
      isServer: values.server === true,
      registry: values.registry ?? [],
      pinnedRegistry: values['pinned-registry'] ?? [],
      values,
    },
  }
}

function describeWords(least: number, most: number): string {
  if (most === 0) return 'no further words'
  const count =
    least === most ? `${least}` : most === Number.POSITIVE_INFINITY ? `${least} or more` : `${least} to ${most}`
  return `${count} further word${most === 1 ? '' : 's'}`
}

function parseWords(args: readonly string[]) {
  return parseArgs({ args: [...args], allowPositionals: true, options })
}
