import { type CliDeps, need, readArgs } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Make the next key for signing receipts and say how to change over.'
export const usage = `usage: fluxgate receipt-key rotate --out FILE [--json]

Writes a new private key to FILE, mode 0600, and prints its public name. Nothing changes until gateways are started with it.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, { out: { type: 'string' } })
  const file = need(values.out, '--out')
  const key = await deps.receiptKeys.createSigningKey(file)
  const publicKey = key.publicKey.toString('base64url')
  if (values.json) printJson(deps.out, { object: 'receipt_key', key_id: key.keyId, public_key: publicKey, file })
  else
    deps.out.write(`made ${key.keyId}, public key ${publicKey}, in ${file}

To change over:
  1. Give every gateway the new key: set RECEIPT_SIGNING_KEY to the text of ${file}, or with the embedded
     database put the file in the place of receipt-signing-key in DATA_DIR.
  2. Restart them, one after the other. The first one publishes the new key; the old one stays valid for another hour,
     for what is still being settled under it.
  3. Where the root key is kept offline: sign the new list of keys, fluxgate receipt-key manifest --help.
  4. Remove ${file} and every other copy of the old private key. Receipts that it signed stay valid.
`)
  return 0
}
