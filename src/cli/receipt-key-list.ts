import { listReceiptKeys } from '#domain/receipt-keys.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'

export const summary = 'List the keys that sign or signed receipts.'
export const usage = `usage: fluxgate receipt-key list [--json]

The first one is the key that gateways sign with now. docs/key-rotation.md says what to do when.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const keys = await withDatabase(deps, listReceiptKeys)
  if (values.json) printJson(deps.out, { object: 'list', data: keys })
  else
    printTable(deps.out, [
      ['KEY', 'STATUS', 'FROM', 'UNTIL', 'REVOKED', 'REASON'],
      ...keys.map((key) => [
        key.key_id,
        key.status,
        key.not_before,
        key.not_after ?? '',
        key.revoked_at ?? '',
        key.revoked_reason ?? '',
      ]),
    ])
  return 0
}
