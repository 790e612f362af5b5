import { formatUsd } from '../cost.ts'
import type { UsageLogEntry, UsageQuery, UsageTotals } from '../http/gateway-api.ts'
import { openGatewayApi } from './open-gateway-api.ts'
import type { Arguments, Deps } from './run-cli.ts'
import { printable, table } from './table.ts'
import { WrongUse } from './wrong-use.ts'

const ENTRIES_SHOWN = 50
const GROUPS_SHOWN = 20

const periods = ['day', 'week', 'month'] as const
const outputs = ['table', 'json', 'csv', 'ndjson'] as const

export async function stats(args: Arguments, deps: Deps): Promise<number> {
  const groupBy = oneOf('--group-by', args.values['group-by'], periods)
  const found = await openGatewayApi(args, deps).stats({ ...queryOf(args), groupBy })
  if (args.isJson) {
    await deps.out(`${JSON.stringify(found, null, 2)}\n`)
    return 0
  }
  const { summary } = found
  const unpriced = summary.unpriced > 0 ? `, and ${summary.unpriced} of unknown cost` : ''
  await deps.out(
    `${summary.total_requests} requests, ${summary.total_tokens} tokens, $${summary.total_cost}${unpriced}\n` +
      totals(
        groupBy ?? 'day',
        found.by_period.map((row) => [row.period, row]),
      ) +
      totals('model', Object.entries(found.by_model)) +
      totals('alias', Object.entries(found.by_alias)),
  )
  return 0
}

function totals(name: string, rows: readonly (readonly [string, UsageTotals])[]): string {
  if (rows.length === 0) return ''
  const head = [name, 'requests', 'input', 'output', 'cost']
  const lines = rows
    .slice(0, GROUPS_SHOWN)
    .map(([key, row]) => [key, row.requests, row.input_tokens, row.output_tokens, `$${row.cost}`])
  const more = rows.length > GROUPS_SHOWN ? `and ${rows.length - GROUPS_SHOWN} more: --json has all\n` : ''
  return `\n${table([head, ...lines])}${more}`
}

/** csv and ndjson are the gateway's own files of all that fits; a table or json is the newest entries, or all with --all. */
export async function logs(args: Arguments, deps: Deps): Promise<number> {
  const output = oneOf('--output', args.values.output, outputs) ?? (args.isJson ? 'json' : 'table')
  const limit = readLimit(args)
  const api = openGatewayApi(args, deps)
  if (output === 'csv' || output === 'ndjson') {
    if (args.values.limit !== undefined) throw new WrongUse(`--output ${output} has all entries and takes no --limit`)
    for await (const piece of api.exportLogs(output, queryOf(args))) await deps.out(piece)
    return 0
  }
  const isJson = output === 'json'
  const entries: UsageLogEntry[] = []
  let hasMore = false
  let count = 0
  for await (const entry of api.logs(queryOf(args))) {
    if (count >= limit) {
      hasMore = true
      break
    }
    if (isJson) await deps.out(`${count === 0 ? '[' : ','}\n${JSON.stringify(entry)}`)
    else entries.push(entry)
    count += 1
  }
  if (isJson) await deps.out(count === 0 ? '[]\n' : '\n]\n')
  else await deps.out(count === 0 ? 'no entries\n' : table([logHead, ...entries.map(logRow)]))
  if (hasMore) deps.err(`the newest ${limit} are shown; --all shows all, --output csv makes a file\n`)
  return 0
}

const logHead = ['time', 'source', 'model', 'alias', 'origin', 'input', 'output', 'cost']

function logRow(entry: UsageLogEntry): (string | number)[] {
  const { logged_at, source, provider, model, alias, origin, input_tokens, output_tokens, cost_nanousd } = entry
  const cost = cost_nanousd === null ? 'unknown' : `$${formatUsd(BigInt(cost_nanousd))}`
  return [logged_at, source, `${provider}:${model}`, alias ?? '', origin ?? '', input_tokens, output_tokens, cost]
}

function queryOf({ values, profile }: Arguments): UsageQuery {
  const { from, to, tz, alias, model, origin, provider, key, project } = values
  const source = oneOf('--source', values.source, ['gateway', 'reported'] as const)
  return { from, to, tz, alias, model, origin, profile, provider, key, project, source }
}

function readLimit({ values, isAll }: Arguments): number {
  if (isAll && values.limit !== undefined) throw new WrongUse('either --all or --limit')
  if (isAll) return Number.POSITIVE_INFINITY
  const limit = values.limit === undefined ? ENTRIES_SHOWN : Number(values.limit)
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw new WrongUse(`--limit takes a number, not ${printable(values.limit ?? '')}`)
  return limit
}

function oneOf<const T extends string>(flag: string, value: string | undefined, known: readonly T[]): T | undefined {
  if (value === undefined) return undefined
  const found = known.find((name) => name === value)
  if (found === undefined) throw new WrongUse(`${flag} takes ${known.join(', ')}, not ${printable(value)}`)
  return found
}
