import { runCli } from '#cli/run-cli.ts'
import { checkWebhookUrl } from './check-webhook-url.ts'
import { openStripe } from './compose/open-stripe.ts'
import { type Config, parseConfig } from './config.ts'
import { openEnvelopeKeys } from './envelope-keys.ts'
import { lockFile, openKeyFile } from './key-files.ts'
import { openDatabase } from './open-database.ts'
import { readPriceBook } from './read-price-book.ts'
import { seedKeys } from './seed-keys.ts'
import { serve } from './serve.ts'
import { openLogSigner, receiptKeyFiles } from './signing-keys.ts'

async function main(words: string[]): Promise<number> {
  let config: Config
  try {
    config = parseConfig(process.env)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  }
  return runCli(
    {
      out: process.stdout,
      err: process.stderr,
      stdin: process.stdin,
      openDatabase: () => openDatabase(config),
      serve: () => serve(config, process.stdout, process.stderr),
      envelopeKeys: () => openEnvelopeKeys(config),
      checkWebhookUrl: (url) => checkWebhookUrl(config, url),
      paymentProvider: () => openStripe(config),
      providerKeys: seedKeys(config),
      priceBook: () => readPriceBook(config),
      receiptKeys: receiptKeyFiles(config),
      fluxNanousd: BigInt(config.FLUX_NANOUSD),
      logTools: { dir: config.LOG_DIR, signer: () => openLogSigner(config), openKeyFile, lockFile },
      defaultKeysUrl: `http://${config.HOST}:${config.PORT}/receipts/public-keys.json`,
    },
    words,
  )
}

process.exitCode = await main(process.argv.slice(2))
