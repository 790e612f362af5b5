import { runCli } from '#cli/run-cli.ts'
import { type Config, parseConfig } from './config.ts'
import { openDatabase } from './open-database.ts'
import { serve } from './serve.ts'

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
      fluxNanousd: BigInt(config.FLUX_NANOUSD),
      defaultKeysUrl: `http://${config.HOST}:${config.PORT}/receipts/public-keys.json`,
    },
    words,
  )
}

process.exitCode = await main(process.argv.slice(2))
