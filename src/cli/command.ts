import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { Db } from '#db/pool.ts'
import type { Ed25519Signer } from '#domain/log/log-signer.ts'
import type { PaymentProvider } from '#domain/payments/provider.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { assert } from '#lib/assert.ts'
import type { EnvelopeKeys } from '#lib/envelope.ts'
import type { Secret } from '#lib/secret.ts'

/** A key that the environment gives for a provider. */
export interface ProviderKey {
  key: Secret
  /** Where the environment says that it belongs; undefined: the provider's own address. */
  baseUrl: string | undefined
}

/** A private key that a command may sign with. `publicKey` is 32 raw bytes. */
interface SigningKey {
  keyId: string
  publicKey: Buffer
  sign(message: Uint8Array): Buffer
}

/** What the receipt-key commands need of the files and settings that hold private keys. */
export interface ReceiptKeyFiles {
  /** The key that gateways with these settings sign receipts with. */
  receiptSigner(): Promise<SigningKey>
  /** The root key of a file, else of the settings; undefined when it is not at hand. */
  rootSigner(path?: string): Promise<SigningKey | undefined>
  /** Makes a new signing key in a file that must not exist yet, mode 0600. */
  createSigningKey(path: string): Promise<SigningKey>
  /** Origin of the log. */
  log: string
  /** The log's public key, as signed notes write it. */
  logVkey(): Promise<string>
}

export interface LogTools {
  /** Folder of the files of the receipt log. */
  dir: string
  /** The key of the receipt log, as it is configured. */
  signer(): Promise<Ed25519Signer>
  /** The Ed25519 key in a file of its own, made at the first call. */
  openKeyFile(path: string): Promise<Ed25519Signer>
  /** Keeps a file for this process. Throws Error while another one has it. */
  lockFile(path: string): Promise<{ release(): Promise<void> }>
}

/** What commands may touch. The composition root decides which database that is. */
export interface CliDeps {
  out: NodeJS.WritableStream
  err: NodeJS.WritableStream
  stdin: NodeJS.ReadableStream
  /** Connects to the configured database, as it is. Closing also stops a server that was started for it. */
  openDatabase(): Promise<{ db: Db; close(): Promise<void> }>
  /** Runs the gateway until it is stopped; resolves to the exit code. */
  serve(): Promise<number>
  /** What provider keys are sealed with. Throws Error with what to set. */
  envelopeKeys(): Promise<EnvelopeKeys>
  /** Provider keys of the environment, by the names of their variables. */
  providerKeys: Readonly<Record<string, ProviderKey | undefined>>
  priceBook(): Promise<PriceBook>
  receiptKeys: ReceiptKeyFiles
  /** What one Flux is worth in nano-dollars. */
  fluxNanousd: bigint
  /** Whoever takes money; undefined where nothing is sold. */
  paymentProvider?: () => Promise<PaymentProvider | undefined>
  /** Throws for an address that webhooks are not sent to. */
  checkWebhookUrl(url: string): void
  /** What commands around the receipt log need of this machine. */
  logTools?: LogTools
  /** Where public receipt keys are when a command does not say. */
  defaultKeysUrl?: string
}

/** `run` resolves to the exit code: 0 done, 1 refused or failed, 2 called wrongly. It may throw UsageError and AppError. */
export interface Command {
  summary: string
  usage: string
  run(deps: CliDeps, args: string[]): Promise<number>
}

/** The command was called wrongly: exit code 2 and its usage. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Options = NonNullable<ParseArgsConfig['options']>

/**
 * Reads the words after a command's name; `--json` is known to all. After those that must be given, `optionalCount` more may
 * follow. Throws UsageError.
 */
export function readArgs<O extends Options>(
  args: string[],
  options: O,
  positionals: readonly string[] = [],
  optionalCount = 0,
) {
  const parsed = parse(args, { ...options, json: { type: 'boolean' } } as const)
  const wordsMax = positionals.length + optionalCount
  if (parsed.positionals.length > wordsMax)
    throw new UsageError(`unexpected argument '${parsed.positionals[wordsMax]}'`)
  const missing = positionals[parsed.positionals.length]
  if (missing !== undefined) throw new UsageError(`${missing} is missing`)
  return { values: parsed.values, words: parsed.positionals }
}

function parse<O extends Options>(args: string[], options: O) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (error) {
    // Node explains at length how to pass a value that starts with a dash; the first sentence says what is wrong.
    const [first = 'bad arguments'] = (error instanceof Error ? error.message : String(error)).split('. ')
    throw new UsageError(first, { cause: error })
  }
}

/** What only the composition root can give, for commands that cannot do without. */
export function logToolsOf({ logTools }: Pick<CliDeps, 'logTools'>): LogTools {
  assert(logTools !== undefined, 'whoever offers this command brings its tools')
  return logTools
}

/** The value of an option that must be given. Throws UsageError. */
export function need<T>(value: T | undefined, option: string): T {
  if (value === undefined || value === '') throw new UsageError(`${option} is missing`)
  return value
}

/** A moment with its zone, as in `2026-12-31T23:59:59Z`. Throws UsageError. */
export function readTime(text: string, option: string): Date {
  const time = new Date(text)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(time.getTime()))
    throw new UsageError(`${option} must be a time with its zone, as in 2026-12-31T23:59:59Z`)
  return time
}

/** Who acts where somebody at the command line does: the trail of acts names it. */
export const CLI = { actor: 'cli' } as const
