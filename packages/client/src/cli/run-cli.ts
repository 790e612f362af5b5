import { parseArgs } from 'node:util'
import { LockfileError, ResolutionError } from '../errors.ts'
import type { Environment } from '../resolve.ts'
import { alias, aliases, bind, resolve } from './alias-commands.ts'
import { lockCheck, lockInit, lockValidate } from './lock-commands.ts'

/** What the commands touch, so that tests can stand in for it. */
export interface Deps {
  out(text: string): void
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
  registry: string[]
  pinnedRegistry: string[]
}

/** Resolves to the exit code: 0 all is well, 1 something is wrong with the lockfile or the name, 2 the command is. */
type Command = (args: Arguments, deps: Deps) => Promise<number>

const commands: readonly {
  name: string
  words: [least: number, most: number]
  flags: string[]
  run: Command
  line: string
}[] = [
  {
    name: 'lock init',
    words: [0, 0],
    flags: ['file', 'force'],
    run: lockInit,
    line: 'lock init [--force]                 write a new llmring.lock',
  },
  {
    name: 'lock validate',
    words: [0, 0],
    flags: ['file', 'json'],
    run: lockValidate,
    line: 'lock validate [--json]              list what is wrong with the file',
  },
  {
    name: 'lock check',
    words: [0, 0],
    flags: ['file', 'json', 'profile', 'registry', 'pinned-registry'],
    run: lockCheck,
    line: 'lock check [--registry FILE]...     the same, with all that it extends and drift from registry files',
  },
  {
    name: 'alias',
    words: [1, 1],
    flags: ['file', 'json', 'profile', 'remove'],
    run: alias,
    line: 'alias ALIAS [--remove]              show an alias in every profile, or remove it from one',
  },
  {
    name: 'bind',
    words: [2, 2],
    flags: ['file', 'profile'],
    run: bind,
    line: 'bind ALIAS MODEL[,MODEL...]         lead an alias to provider:model, in this order',
  },
  {
    name: 'aliases',
    words: [0, 0],
    flags: ['file', 'json', 'profile'],
    run: aliases,
    line: 'aliases [--json]                    list the aliases of a profile',
  },
  {
    name: 'resolve',
    words: [1, 1],
    flags: ['file', 'json', 'profile'],
    run: resolve,
    line: 'resolve NAME [--json]               show the models that a name leads to',
  },
]

const usage = `usage: fluxgate-client COMMAND [--file PATH] [--profile NAME]

${commands.map(({ line }) => `  ${line}`).join('\n')}

The file is --file, else LLMRING_LOCKFILE_PATH, else ./llmring.lock. The profile is --profile, else LLMRING_PROFILE, else
the file's default. lock check takes the current registry files of providers as --registry, and those of the pinned
versions as --pinned-registry to compare prices. Exit code: 0 all is well, 1 something is wrong, 2 the command is.
`

/** Never throws for what it is given to read. */
export async function runCli(args: readonly string[], deps: Deps): Promise<number> {
  const parsed = parse(args)
  if (parsed === 'help') {
    deps.out(usage)
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
    deps.err(`${error.message}\n`)
    if (error instanceof LockfileError && error.code === 'lockfile_missing')
      deps.err('Run "fluxgate-client lock init" to make one, or name one with --file.\n')
    for (const { at, message } of error instanceof LockfileError ? error.problems.slice(1) : [])
      deps.err(`${at} ${message}\n`)
    return error instanceof LockfileError || error instanceof ResolutionError ? 1 : 2
  }
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
      problem: `${found.name} takes ${least === 0 ? 'no further words' : `${least} further word${least === 1 ? '' : 's'}`}`,
    }
  const stray = Object.keys(values).find((flag) => !found.flags.includes(flag))
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
      registry: values.registry ?? [],
      pinnedRegistry: values['pinned-registry'] ?? [],
    },
  }
}

function parseWords(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      file: { type: 'string', short: 'f' },
      profile: { type: 'string', short: 'p' },
      force: { type: 'boolean' },
      json: { type: 'boolean' },
      remove: { type: 'boolean' },
      registry: { type: 'string', multiple: true },
      'pinned-registry': { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h' },
    },
  })
}
