import { asAppError } from '#domain/unavailable.ts'
import { InvariantError } from '#lib/assert.ts'
import { nearNames } from '#lib/near-names.ts'
import { errorBody } from '#src/errors.ts'
import { type CliDeps, type Command, UsageError } from './command.ts'
import { commands } from './commands.ts'
import { printJson, printTable } from './print.ts'

const DONE = 0
const FAILED = 1
const CALLED_WRONGLY = 2

/**
 * Runs the command that the words name and resolves to its exit code: 0 done, 1 refused or failed, 2 called wrongly.
 * Never throws.
 */
export async function runCli(deps: CliDeps, words: string[]): Promise<number> {
  const found = findCommand(words)
  if (found === undefined) return answerWithoutCommand(deps, words)
  const { args } = found
  const command = await found.load()
  if (args.includes('--help') || args.includes('-h')) {
    deps.out.write(`${command.summary}\n\n${command.usage.trimEnd()}\n`)
    return DONE
  }
  try {
    return await command.run(deps, args)
  } catch (error) {
    return reportFailure(deps, { error, command, json: args.includes('--json') })
  }
}

/** The longest name that the words begin with: `project create`, then `grant`. */
function findCommand(words: string[]): { load: () => Promise<Command>; args: string[] } | undefined {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ')
    const load = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (load !== undefined) return { load, args: words.slice(length) }
  }
  return undefined
}

async function answerWithoutCommand(deps: CliDeps, words: string[]): Promise<number> {
  const [first] = words
  if (isHelp(first)) {
    await printHelp(deps.out)
    return DONE
  }
  if (first === undefined) {
    await printHelp(deps.err)
    return CALLED_WRONGLY
  }
  const names = Object.keys(commands)
  if (words.length === 2 && isHelp(words[1]) && names.some((name) => name.startsWith(`${first} `))) {
    await printHelp(deps.out, first)
    return DONE
  }
  const family = names.filter((name) => name.startsWith(`${first} `))
  const near = nearNames(words.slice(0, 2).join(' '), names)
  const meant = family.length > 0 ? family : near.length > 0 ? near : nearNames(first, names)
  const asked = words.slice(0, family.length > 0 ? 2 : 1).join(' ')
  deps.err.write(
    `fluxgate: there is no command '${asked}'${meant.length > 0 ? `; did you mean ${meant.join(', ')}?` : ''}\n`,
  )
  deps.err.write("Run 'fluxgate --help' for all commands.\n")
  return CALLED_WRONGLY
}

function reportFailure(deps: CliDeps, failure: { error: unknown; command: Command; json: boolean }): number {
  const { error, command, json } = failure
  if (error instanceof UsageError) {
    deps.err.write(`fluxgate: ${error.message}\n\n${command.usage.trimEnd()}\n`)
    return CALLED_WRONGLY
  }
  const refusal = asAppError(error)
  if (refusal !== undefined && json) {
    printJson(deps.err, errorBody(refusal))
    return FAILED
  }
  if (refusal !== undefined) {
    const cause = refusal.status >= 500 ? ` (${messageOf(refusal.cause)})` : ''
    deps.err.write(`fluxgate: ${refusal.message}${cause} [${refusal.code}]\n`)
    // The message has the first one already.
    if (refusal.problems.length > 1)
      for (const { path, message } of refusal.problems) deps.err.write(`  ${path === '' ? 'it' : path} ${message}\n`)
    return FAILED
  }
  // Most other errors say what to do; those that only a bug can cause are of use with their stack.
  const isBug = error instanceof InvariantError || error instanceof TypeError || error instanceof ReferenceError
  deps.err.write(`fluxgate: ${isBug ? error.stack : messageOf(error)}\n`)
  return FAILED
}

/** Node wraps failures of several addresses in an error without a message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}

function isHelp(word: string | undefined): boolean {
  return word === '--help' || word === '-h' || word === 'help'
}

/** Of all commands, or of those whose first word is this one. */
async function printHelp(out: NodeJS.WritableStream, family?: string): Promise<void> {
  out.write(`usage: fluxgate ${family === undefined ? '' : `${family} `}COMMAND [OPTIONS]\n\n`)
  const shown = Object.entries(commands).filter(([name]) => family === undefined || name.startsWith(`${family} `))
  const rows = shown.map(async ([name, load]) => [`  ${name}`, (await load()).summary])
  printTable(out, await Promise.all(rows))
  out.write(
    "\nEvery command knows --help, and all but 'api' know --json. Exit codes: 0 done, 1 refused or failed, 2 called wrongly.\n",
  )
}
