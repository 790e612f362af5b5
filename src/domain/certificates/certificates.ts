import { hash } from 'node:crypto'
import {
  CERTIFICATE_VERSION,
  type Certificate,
  DESCRIPTION_CHARS_MAX,
  encodeCertificate,
  IDS_LISTED_MAX,
  TAG_CHARS_MAX,
  TAGS_MAX,
} from '#billing/certificate.ts'
import type { LogEntry } from '#billing/log-entry.ts'
import { merkleRoot } from '#billing/merkle.ts'
import { type CostParts, type EntriesSummary, summarizeEntries } from '#billing/summarize-entries.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type DocumentSigner, documentPrefixes, signDocuments } from '#domain/signed-documents.ts'
import { createGate, GateFullError } from '#lib/gate.ts'
import { uuidFromName, uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { type CertifiableEntry, readEntries } from './read-entries.ts'
import { countUncertified, type LogSelection, newestUncertified, selectLogs } from './select-logs.ts'

/** Certificates of thousands of entries take a while: few at a time, so that other work gets its share. */
const RUNNING_MAX = 2
const WAITING_MAX = 100

/** Who asks. */
export interface Certifier {
  projectId: string
  walletId: bigint
  account: string
  keyId: string
}

export interface CertificateRequest {
  by: Certifier
  selection: LogSelection
  description?: string | undefined
  tags?: readonly string[] | undefined
  /** The same key with the same request finds the same certificate. */
  idempotencyKey?: string | undefined
}

export interface CertificatesDeps {
  db: Db
  signer: DocumentSigner
  /** Origin of the transparency log, stated on every certificate. */
  logOrigin: string
  /** The parts of the known cost of an entry; undefined where its price lines are not at hand. */
  splitCost: (entry: LogEntry) => CostParts | undefined
}

/** Statements about usage that clients reported, each entry on one of them at most. */
export function createCertificates(deps: CertificatesDeps) {
  const { db } = deps
  const gate = createGate({ runningMax: RUNNING_MAX, waitingMax: WAITING_MAX })

  async function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await gate.run(work)
    } catch (error) {
      if (error instanceof GateFullError) throw new AppError('overloaded', { cause: error })
      throw error
    }
  }

  return {
    /**
     * Certifies the selected logs in one transaction and returns the id of the certificate. Throws AppError: body_invalid,
     * logs_not_found, selection_too_large, log_already_certified, log_has_receipt, idempotency_mismatch, overloaded.
     */
    async generate(request: CertificateRequest): Promise<string> {
      requireDisplayable(request)
      return inTurn(() => transaction(db, (tx) => certify(tx, deps, request)))
    },

    /** What a certificate about these logs would say; undefined where nothing matches. Else throws like generate. */
    async preview({
      by,
      selection,
    }: Pick<CertificateRequest, 'by' | 'selection'>): Promise<EntriesSummary | undefined> {
      return inTurn(async () => {
        const { ids } = await selectLogs(db, by, selection)
        if (ids.length === 0) return undefined
        return summarizeEntries(entriesOf(await readEntries(db, ids)), deps.splitCost)
      })
    },

    /** What no certificate is about yet, the newest first. */
    async uncertified(
      by: Certifier,
      page: { limit: number; offset: number },
    ): Promise<{ entries: LogEntry[]; total: number }> {
      const ids = await newestUncertified(db, by, page)
      const entries = entriesOf(await readEntries(db, ids)).toReversed()
      return { entries, total: await countUncertified(db, by) }
    },
  }
}

async function certify(tx: Tx, deps: CertificatesDeps, request: CertificateRequest): Promise<string> {
  const { by, idempotencyKey } = request
  // One at a time for each project: whoever comes second sees what the first has certified.
  await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`fluxgate certificates ${by.projectId}`])
  const requestHash = hashOf(request)
  const hex = idempotencyKey === undefined ? uuidv7Hex() : uuidFromName('certificate', by.projectId, idempotencyKey)
  const id = documentPrefixes.certificate + hex
  if (idempotencyKey !== undefined && (await isThere(tx, id, requestHash))) return id

  const { ids, selection } = await selectLogs(tx, by, request.selection)
  if (ids.length === 0) throw new AppError('logs_not_found')
  const certified = await readEntries(tx, ids)
  const issuedAt = new Date()
  const leaves = certified.map(({ leaf }) => leaf)
  const logIds = certified.map(({ entry }) => entry.log_id)
  const summary = summarizeEntries(entriesOf(certified), deps.splitCost)
  requireCountable(summary)
  const certificate: Certificate = {
    v: CERTIFICATE_VERSION,
    document_id: id,
    log: deps.logOrigin,
    source: 'reported',
    account: by.account,
    project_key: by.projectId,
    key_id: by.keyId,
    issued_at: issuedAt.toISOString(),
    selection,
    ...(request.description !== undefined && { description: request.description }),
    ...(request.tags !== undefined && request.tags.length > 0 && { tags: request.tags }),
    ...summary,
    entries: {
      n: leaves.length,
      root: merkleRoot(leaves).toString('base64'),
      ...(logIds.length <= IDS_LISTED_MAX && { log_ids: logIds }),
    },
  }
  await signDocuments(tx, deps.signer, [
    {
      id,
      kind: 'certificate',
      walletId: by.walletId,
      projectId: by.projectId,
      period: null,
      issuedAt,
      document: encodeCertificate(certificate),
    },
  ])
  await tx.query('insert into certificate (document_id, project_id, entries, request_hash) values ($1, $2, $3, $4)', [
    id,
    by.projectId,
    leaves.length,
    idempotencyKey === undefined ? null : requestHash,
  ])
  await tx.query(
    `insert into certified_log (log_id, document_id, pos, leaf)
     select log_id, $2, n - 1, substring($3::bytea from (n::integer - 1) * 32 + 1 for 32)
     from unnest($1::uuid[]) with ordinality as x(log_id, n)`,
    [logIds, id, Buffer.concat(leaves)],
  )
  return id
}

/** Whether the key has its certificate already. Throws AppError idempotency_mismatch when that was of another request. */
async function isThere(tx: Tx, id: string, requestHash: Buffer): Promise<boolean> {
  const { rows } = await tx.query<{ hash: Buffer }>(
    'select request_hash as hash from certificate where document_id = $1',
    [id],
  )
  const [row] = rows
  if (row === undefined) return false
  if (row.hash.equals(requestHash)) return true
  throw new AppError('idempotency_mismatch')
}

/** Clients report any number of tokens; sums are stated exactly or not at all. */
function requireCountable({ totals }: EntriesSummary): void {
  const counts = [totals.input_tokens, totals.output_tokens, totals.cached_input_tokens]
  if (counts.every(Number.isSafeInteger)) return
  throw new AppError('selection_too_large', {
    message: 'These logs report more tokens than one certificate can state. Choose fewer.',
  })
}

function hashOf({ selection, description, tags }: CertificateRequest): Buffer {
  return hash('sha256', JSON.stringify([selection, description ?? null, tags ?? []]), 'buffer')
}

function entriesOf(certified: readonly CertifiableEntry[]): LogEntry[] {
  return certified.map(({ entry }) => entry)
}

/** What people write is signed as it is: text that every system can keep and show. */
function requireDisplayable({ description, tags = [] }: CertificateRequest): void {
  if (description !== undefined) requireText(description, 'description', DESCRIPTION_CHARS_MAX)
  if (tags.length > TAGS_MAX)
    throw new AppError('body_invalid', { message: `'tags' must be at most ${TAGS_MAX}.`, param: 'tags' })
  for (const tag of tags) requireText(tag, 'tags', TAG_CHARS_MAX)
}

function requireText(text: string, param: string, charsMax: number): void {
  const chars = [...text].length
  if (chars >= 1 && chars <= charsMax && text.isWellFormed() && !text.includes('\0')) return
  throw new AppError('body_invalid', {
    message: `'${param}' must be 1 to ${charsMax} characters of well-formed text without U+0000.`,
    param,
  })
}
