import { alias, aliases, bind, resolve } from './alias-commands.ts'
import { lockCheck, lockInit, lockValidate } from './lock-commands.ts'
import { receiptVerify } from './receipt-command.ts'
import type { Command, Flag } from './run-cli.ts'
import { serverInit, serverKeyRotate, serverStatus } from './server-commands.ts'
import { logs, stats } from './usage-commands.ts'

const which: Flag[] = [
  'url',
  'json',
  'from',
  'to',
  'tz',
  'alias',
  'model',
  'origin',
  'profile',
  'provider',
  'key',
  'project',
  'source',
]

export const commands: readonly {
  name: string
  words: [least: number, most: number]
  flags: Flag[]
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
    flags: ['file', 'json', 'profile', 'registry', 'pinned-registry', 'server', 'url'],
    run: lockCheck,
    line: 'lock check [--server]               the same, with all that it extends and drift from the prices that are pinned',
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
  {
    name: 'stats',
    words: [0, 0],
    flags: [...which, 'group-by'],
    run: stats,
    line: 'stats [--group-by day|week|month]   usage and its cost',
  },
  {
    name: 'logs',
    words: [0, 0],
    flags: [...which, 'output', 'limit', 'all'],
    run: logs,
    line: 'logs [--output csv|ndjson|json]     the calls themselves, newest first',
  },
  {
    name: 'receipt verify',
    words: [1, Number.POSITIVE_INFINITY],
    flags: ['url', 'json', 'keys', 'partial'],
    run: receiptVerify,
    line: 'receipt verify FILE... [--keys K]   check receipts; K is a file or an address of public keys',
  },
  {
    name: 'server init',
    words: [0, 0],
    flags: ['url'],
    run: serverInit,
    line: 'server init [--url URL]             look for a gateway, and say what to set',
  },
  {
    name: 'server status',
    words: [0, 0],
    flags: ['url', 'json'],
    run: serverStatus,
    line: 'server status [--json]              whether the gateway is well and takes the key',
  },
  {
    name: 'server key rotate',
    words: [0, 1],
    flags: ['url', 'json', 'overlap'],
    run: serverKeyRotate,
    line: 'server key rotate [ID]              replace the key, or another of the project; --overlap 24h',
  },
]

export const usage = `usage: fluxgate-client COMMAND [OPTIONS]

${commands.map(({ line }) => `  ${line}`).join('\n')}

Lockfiles: --file PATH, else LLMRING_LOCKFILE_PATH, else ./llmring.lock. --profile NAME, else LLMRING_PROFILE, else the
file's default. lock check compares pinned prices with the gateway (--server), or with registry files: --registry FILE
for current ones, --pinned-registry FILE for those of the pinned versions.

The gateway: --url URL, else FLUXGATE_URL, else LLMRING_SERVER_URL; the key is FLUXGATE_API_KEY, else LLMRING_API_KEY.
stats and logs: --from and --to take a date (--tz ZONE) or a time, and --alias, --model, --origin, --profile, --provider,
--key, --project and --source gateway|reported choose. logs shows 50 entries, --limit N, or --all; csv and ndjson are
files of all that fit. receipt verify --partial: the receipts are a selection, numbers may be missing.

Exit code: 0 all is well, 1 something is wrong with what was looked at, 2 it could not be done.
`
