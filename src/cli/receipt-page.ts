import { readVerifyPage } from '#verifier/page.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Print the page that verifies receipts in a browser, as one file.'
export const usage = `usage: fluxgate receipt page > verify.html

The same page as GET /verify. It needs no network, and sends nothing anywhere.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const html = readVerifyPage()
  if (values.json) printJson(deps.out, { object: 'page', html })
  else deps.out.write(html)
  return 0
}
