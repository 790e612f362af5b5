import { settingsChangeView } from '#domain/router-views.ts'
import { type CliDeps, need, readArgs, UsageError } from './command.ts'
import { printJson } from './print.ts'
import { readInput } from './read-input.ts'
import { AUTHOR, printWarnings, withRouter } from './router-door.ts'

const VALUE_BYTES_MAX = 1024 * 1024

export const summary = 'Write one hot setting. Every gateway heeds it within a second.'
export const usage = `usage: fluxgate settings set NAME VALUE --reason TEXT [--json]
       fluxgate settings set NAME --file FILE|- --reason TEXT [--json]
       fluxgate settings set NAME --unset --reason TEXT [--json]

VALUE is JSON; what is not is taken as text. A setting with keys comes from a file, in which a new key stands as "plaintextKey".`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(
    args,
    { reason: { type: 'string' }, file: { type: 'string' }, unset: { type: 'boolean' } },
    ['NAME'],
    1,
  )
  const [name = '', text] = words
  const reason = need(values.reason, '--reason')
  const given = [text, values.file, values.unset].filter((one) => one !== undefined)
  if (given.length !== 1) throw new UsageError('give one of VALUE, --file and --unset')
  // The command line is in the shell's history and in the list of processes.
  if (text?.includes('plaintextKey')) throw new UsageError('a key must not stand on the command line: use --file')
  const value = values.unset
    ? null
    : values.file === undefined
      ? readValue(text ?? '')
      : parseFile(await readInput(deps, values.file, VALUE_BYTES_MAX))
  const outcome = await withRouter(deps, ({ settings }) =>
    settings.set({ values: { [name]: value }, reason, author: AUTHOR }),
  )
  if (values.json) printJson(deps.out, settingsChangeView(outcome))
  else {
    printWarnings(deps.err, outcome.warnings)
    deps.out.write(
      outcome.keys.length === 0 ? `${name} says so already\n` : `${name} is ${value === null ? 'removed' : 'set'}\n`,
    )
  }
  return 0
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function parseFile(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes what it read, which may be a key.
    throw new Error('the file is not JSON')
  }
}
