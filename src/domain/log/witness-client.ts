import { encodeAddCheckpoint, parseCosignatures, SIZE_TYPE } from '#billing/tlog/add-checkpoint.ts'
import { isDecimal } from '#billing/tlog/checkpoint.ts'
import { encodeNote, encodeSignatureLine, parseNote, parseSignatureLine } from '#billing/tlog/note.ts'
import { parseVerifierKey, type VerifierKey, verifyNote } from '#billing/tlog/verifier-key.ts'
import type { Db } from '#db/pool.ts'
import { readHead, signedRoot } from './log-head.ts'
import type { LogProofs } from './log-proofs.ts'
import type { LogSigner } from './log-signer.ts'

export interface Witness {
  key: VerifierKey
  /** Where `/add-checkpoint` is, without it. */
  url: string
}

/** A witness as it is configured. Throws Error with what is wrong with its vkey. */
export async function readWitness({ vkey, url }: { vkey: string; url: string }): Promise<Witness> {
  const key = await parseVerifierKey(vkey).catch((cause: unknown) => {
    throw new Error(`The vkey of the witness at ${url} cannot be used: ${String(cause)}`, { cause })
  })
  if (key.type !== 'cosignature')
    throw new Error(`The vkey of the witness at ${url} is of another kind: its algorithm has to be 0x04.`)
  return { key, url }
}

/** Sends a body and hands over the answer, whatever its status. Throws when there is none in time. */
type WitnessPost = (url: string, body: string) => Promise<{ status: number; type: string; text: string }>

export interface WitnessClientOptions {
  db: Db
  signer: LogSigner
  logProofs: LogProofs
  witnesses: readonly Witness[]
  post: WitnessPost
  /** How often the witnesses are asked at most. */
  everyMs: number
  onError: (witness: string, error: unknown) => void
  /** A witness has cosigned more leaves than we have: it saw a future that our database lost. */
  onAhead: (witness: string, sizes: { witnessed: number; size: number }) => void
}

class WitnessError extends Error {
  override readonly name = 'WitnessError'
}

/**
 * Asks witnesses to cosign what was published, a round at a time. Nothing waits for a round: a witness that is away only lets the size that
 * is witnessed fall behind.
 */
export function createWitnessClient(options: WitnessClientOptions) {
  const { db, signer, logProofs, witnesses, post } = options
  /** What each witness cosigned last, by name and key. */
  const known = new Map<string, number>()
  let asking: Promise<void> | undefined
  let askedAt = Number.NEGATIVE_INFINITY

  /** Begins a round unless one is under way or was a moment ago. */
  function ask(): void {
    if (witnesses.length === 0 || asking !== undefined || performance.now() - askedAt < options.everyMs) return
    askedAt = performance.now()
    asking = round().finally(() => {
      asking = undefined
    })
  }

  async function round(): Promise<void> {
    const size = logProofs.published()?.size ?? 0
    await Promise.all(
      witnesses.map((witness) =>
        askOne(witness, size).catch((error: unknown) => options.onError(witness.key.name, error)),
      ),
    )
  }

  async function askOne(witness: Witness, size: number): Promise<void> {
    const head = await readHead(db)
    const root = head?.origin === signer.key.name ? await signedRoot(db, head, size) : undefined
    if (head === undefined || root === undefined) return
    const id = idOf(witness.key)
    let oldSize = known.get(id) ?? (await lastCosigned(db, head.logId, id))
    if (oldSize >= size && known.has(id)) return
    const checkpoint = signer.checkpoint(size, root)
    for (let tries = 0; tries < 2; tries += 1) {
      const proof = (await logProofs.consistency(oldSize, size)) ?? []
      const body = encodeAddCheckpoint({ oldSize, proof: proof.map((hash) => hash.toString('base64')), checkpoint })
      const answer = await post(`${witness.url}/add-checkpoint`, body)
      if (answer.status === 200) {
        const line = await cosignatureOf(witness.key, checkpoint, answer.text)
        await db.query(
          `insert into log_cosignature (log_id, size, witness, line) values ($1, $2, $3, $4)
           on conflict (log_id, size, witness) do nothing`,
          [head.logId, size, id, line],
        )
        known.set(id, size)
        return
      }
      const witnessed = answer.status === 409 && answer.type.startsWith(SIZE_TYPE) ? answer.text.trimEnd() : ''
      if (!isDecimal(witnessed)) throw new WitnessError(`it answers ${answer.status}: ${answer.text.slice(0, 200)}`)
      oldSize = Number(witnessed)
      if (oldSize > size) {
        // Asked again at the next round, and told again: nothing else is as bad.
        known.delete(id)
        options.onAhead(witness.key.name, { witnessed: oldSize, size })
        return
      }
    }
    throw new WitnessError('it takes another size each time for the one that it cosigned last')
  }

  return {
    ask,
    async close(): Promise<void> {
      await asking
    },
  }
}

function idOf({ name, keyId }: VerifierKey): string {
  return `${name}+${keyId}`
}

async function lastCosigned(db: Db, logId: number, witness: string): Promise<number> {
  const { rows } = await db.query<{ size: bigint }>(
    'select coalesce(max(size), 0) as size from log_cosignature where log_id = $1 and witness = $2',
    [logId, witness],
  )
  return Number(rows[0]?.size ?? 0)
}

/** The one line of the answer that is this witness's signature over our checkpoint. Others are not ours to publish. */
async function cosignatureOf(key: VerifierKey, checkpoint: string, answer: string): Promise<string> {
  const { text } = parseNote(checkpoint)
  for (const line of parseCosignatures(answer)) {
    const signature = parseSignatureLine(line.slice(0, -1))
    if (signature.name !== key.name || signature.keyId !== key.keyId) continue
    const alone = encodeSignatureLine(signature)
    if ((await verifyNote(parseNote(encodeNote(text, [alone])), key)).state === 'good') return alone
  }
  throw new WitnessError('its answer has no signature of its key over the checkpoint')
}
