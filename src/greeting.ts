import { join, relative } from 'node:path'
import type { Config } from './config.ts'
import type { Installation } from './installation.ts'
import type { FirstKey } from './welcome.ts'

/** What a person sees when the gateway is ready: where it is, how to call it, how to check a receipt. */
export function greeting(start: { url: string; config: Config; installation: Installation; first: FirstKey }): string {
  const { url, config, installation, first } = start
  const adminKeyPath = relative(process.cwd(), join(config.DATA_DIR, 'admin-key'))
  const adminKey = installation.adminKeyIsNew
    ? installation.adminKey.reveal()
    : config.FLUXGATE_ADMIN_KEY === undefined
      ? `in ${adminKeyPath}`
      : 'as set in FLUXGATE_ADMIN_KEY'
  const key = first.secret ?? '$FLUXGATE_KEY'
  const lines = [
    '',
    `Fluxgate is ready at ${url}`,
    '',
    `  API reference   ${url}/docs`,
    ...(installation.authSecret === undefined ? [] : [`  Accounts        ${url}/auth/sign-up`]),
    `  Client key      ${first.secret ?? 'shown at the first start; make another: npx fluxgate key create --project default --name NAME'}`,
    `  Admin key       ${adminKey}`,
    `  Providers       ${['sim (built in)', ...config.providers.map(({ name }) => name)].join(', ')}`,
    `  Database        ${config.embedded ? `embedded, in ${relative(process.cwd(), config.DATA_DIR) || config.DATA_DIR}` : 'DATABASE_URL'}`,
    '',
    'A first call:',
    '',
    `  curl ${url}/v1/chat/completions -H 'authorization: Bearer ${key}' -H 'content-type: application/json' \\`,
    `    -d '{"model":"sim/echo","messages":[{"role":"user","content":"hello"}]}'`,
    '',
    'Check the receipts of your calls:',
    '',
    `  curl -s ${url}/v1/receipts -H 'authorization: Bearer ${key}' | npx fluxgate receipt verify - --keys ${url}/receipts/public-keys.json`,
    '',
    'Stop with Ctrl-C.',
    '',
  ]
  return `${lines.join('\n')}\n`
}
