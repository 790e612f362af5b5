import { randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import type { Logger } from 'pino'
import { type DataLock, lockDataDir } from '#adapters/data-lock.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
import type { ReceiptSigner } from '#adapters/receipt-signer.ts'
import type { EnvelopeKeys } from '#lib/envelope.ts'
import { randomText } from '#lib/ids.ts'
import { Secret } from '#lib/secret.ts'
import type { Config } from './config.ts'
import { openEnvelopeKeys } from './envelope-keys.ts'
import { openLogSigner, openReceiptSigner, openRootSigner } from './signing-keys.ts'

/** What this machine contributes: its database, its keys, its name. */
export interface Installation {
  connection: pg.ClientConfig
  signer: ReceiptSigner
  /** Signs lists of receipt keys; undefined where it is kept offline. */
  rootSigner: ReceiptSigner | undefined
  /** Signs the receipt log: another key, so that neither can stand in for the other. */
  logSigner: ReceiptSigner
  adminKey: Secret
  /** Signs sessions of people; undefined where there are no accounts. */
  authSecret: Secret | undefined
  /** What provider keys are sealed with. */
  envelopeKeys: EnvelopeKeys
  /** The admin key was made just now: nobody has seen it yet. */
  adminKeyIsNew: boolean
  /** Stable per data directory. */
  instance: string
  /** Rejects when the embedded database is down for good. */
  lost: Promise<never>
  close(): Promise<void>
}

/**
 * Opens DATA_DIR for this process alone, makes the secrets that are missing there, and starts the embedded database when no
 * other one is configured. Throws Error with what to do.
 */
export async function openInstallation(config: Config, log: Logger): Promise<Installation> {
  if (config.missingSecrets.length > 0)
    throw new Error(
      `With DATABASE_URL set, ${namesOf(config.missingSecrets)} must be set too: every gateway of this database shares them.`,
    )
  const dir = config.DATA_DIR
  const lock: DataLock = await lockDataDir(dir)
  let postgres: EmbeddedPostgres | undefined
  try {
    const signer = await openReceiptSigner(config)
    const rootSigner = await openRootSigner(config)
    const logSigner = await openLogSigner(config)
    const admin =
      config.FLUXGATE_ADMIN_KEY === undefined
        ? await loadOrCreate(join(dir, 'admin-key'), `fg_admin_${randomText(40)}`)
        : { text: config.FLUXGATE_ADMIN_KEY.reveal(), isNew: false }
    const authSecret = await openAuthSecret(config)
    const envelopeKeys = await openEnvelopeKeys(config)
    const instance = await loadOrCreate(join(dir, 'instance'), randomBytes(8).toString('hex'))
    postgres = config.embedded
      ? await startEmbeddedPostgres({
          dataDir: dir,
          searchPath: config.searchPath,
          log: (level, message, fields) => log[level](fields, message),
        })
      : undefined
    return {
      connection: postgres?.connection ?? { connectionString: config.DATABASE_URL },
      signer,
      rootSigner,
      logSigner,
      adminKey: new Secret(admin.text),
      adminKeyIsNew: admin.isNew,
      authSecret,
      envelopeKeys,
      instance: instance.text,
      lost: whenGivenUp(postgres),
      async close() {
        await postgres?.stop()
        await lock.release()
      },
    }
  } catch (error) {
    await postgres?.stop()
    await lock.release()
    throw error
  }
}

async function openAuthSecret({ BETTER_AUTH_SECRET, embedded, DATA_DIR }: Config): Promise<Secret | undefined> {
  if (BETTER_AUTH_SECRET !== undefined || !embedded) return BETTER_AUTH_SECRET
  return new Secret((await loadOrCreate(join(DATA_DIR, 'auth-secret'), randomText(64))).text)
}

/** `A`, `A and B`, `A, B and C`. */
function namesOf(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** A gateway whose database does not come back has to end, so that whoever supervises it hears of it. */
function whenGivenUp(postgres: EmbeddedPostgres | undefined): Promise<never> {
  const lost = new Promise<never>((_, reject) => {
    void postgres?.exited.then((how) => {
      if (how === 'gave_up') reject(new Error('The embedded database ended and could not be started again.'))
    })
  })
  lost.catch(() => undefined)
  return lost
}

/** One line of text that is made once and kept; complete or absent at every moment. */
async function loadOrCreate(path: string, fresh: string): Promise<{ text: string; isNew: boolean }> {
  const kept = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (kept !== undefined && kept.trim() !== '') return { text: kept.trim(), isNew: false }
  await writeFile(`${path}.new`, `${fresh}\n`, { mode: 0o600, flush: true })
  await rename(`${path}.new`, path)
  return { text: fresh, isNew: true }
}
