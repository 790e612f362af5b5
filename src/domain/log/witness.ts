import { ADD_CHECKPOINT_CHARS_MAX, parseAddCheckpoint, SIZE_TYPE } from '#billing/tlog/add-checkpoint.ts'
import { checkConsistency, emptyRoot, sameBytes } from '#billing/tlog/check-consistency.ts'
import { decodeHash, parseCheckpoint } from '#billing/tlog/checkpoint.ts'
import { encodeNote, encodeSignatureLine, parseNote, type SignedNote, TlogFormatError } from '#billing/tlog/note.ts'
import { signatureOf, signedBytes, type VerifierKey, verifierKey, verifyNote } from '#billing/tlog/verifier-key.ts'
import type { Ed25519Signer } from './log-signer.ts'
import type { WitnessState } from './witness-state.ts'

export const ADD_CHECKPOINT_BYTES_MAX = ADD_CHECKPOINT_CHARS_MAX * 2

export interface WitnessAnswer {
  status: 200 | 400 | 403 | 404 | 409 | 422
  type: string
  body: string
}

export interface WitnessOptions {
  name: string
  signer: Ed25519Signer
  /** The keys of the logs that are watched: a key's name is the origin of its log. */
  logs: readonly VerifierKey[]
  state: WitnessState
  /** Unix seconds. */
  now?: () => number
}

/** A witness of https://c2sp.org/tlog-witness with Ed25519 cosignatures: it cosigns only what continues what it cosigned before. */
export async function createWitness(options: WitnessOptions) {
  const { logs, signer, state, now = () => Math.floor(Date.now() / 1000) } = options
  const key = await verifierKey(options.name, 'cosignature', signer.publicKey)
  let last: Promise<unknown> = Promise.resolve()

  /** One request at a time: comparing with the record and writing it must not be divided. */
  function addCheckpoint(body: string): Promise<WitnessAnswer> {
    const answer = last.then(() => handle(body))
    last = answer.catch(() => undefined)
    return answer
  }

  async function handle(body: string): Promise<WitnessAnswer> {
    try {
      return await judge(body)
    } catch (error) {
      if (error instanceof TlogFormatError) return refused(400, error.message)
      throw error
    }
  }

  async function judge(body: string): Promise<WitnessAnswer> {
    const { oldSize, proof, checkpoint: text } = parseAddCheckpoint(body)
    const note = parseNote(text)
    const { origin, size, root: rootText } = parseCheckpoint(note.text)
    const keys = logs.filter(({ name }) => name === origin)
    if (keys.length === 0) return refused(404, 'this log is not watched here')
    const signatures = await linesOf(note, keys)
    if (signatures === undefined) return refused(403, 'the checkpoint is not signed by its log')
    if (oldSize > size) return refused(400, 'the old size is larger than that of the checkpoint')

    const before = state.find(origin)
    if (oldSize !== (before?.size ?? 0)) return { status: 409, type: SIZE_TYPE, body: `${before?.size ?? 0}\n` }
    const root = decodeHash(rootText)
    const empty = await emptyRoot()
    if (size === 0 && !sameBytes(root, empty)) return refused(422, 'a log without leaves has another root')
    const oldRoot = before === undefined ? empty : decodeHash(before.root)
    const path = proof.map(decodeHash)
    if (!(await checkConsistency({ oldSize, oldRoot, size, root, path })))
      return refused(422, 'the checkpoint does not continue the one that was cosigned last')

    const time = now()
    const signature = signer.sign(signedBytes('cosignature', note.text, time))
    const line = encodeSignatureLine(signatureOf(key, { signature, time }))
    await state.put(origin, { size, root: rootText, checkpoint: encodeNote(note.text, [...signatures, line]) })
    return { status: 200, type: 'text/plain; charset=utf-8', body: line }
  }

  return {
    key,
    addCheckpoint,

    /** The checkpoint of a log that was cosigned last, for monitors. `origin hash`: hex of SHA-256. */
    async newest(originHash: string): Promise<string | undefined> {
      for (const { name } of logs) if ((await hashOf(name)) === originHash) return state.find(name)?.checkpoint
      return undefined
    },
  }
}

export type LogWitness = Awaited<ReturnType<typeof createWitness>>

/** The log's own signature lines; undefined when there is none or one of them is bad. */
async function linesOf(note: SignedNote, keys: readonly VerifierKey[]): Promise<string[] | undefined> {
  const lines: string[] = []
  for (const key of keys) {
    const { state } = await verifyNote(note, key)
    if (state === 'bad') return undefined
    if (state === 'good')
      lines.push(
        ...note.signatures
          .filter(({ name, keyId }) => name === key.name && keyId === key.keyId)
          .map(encodeSignatureLine),
      )
  }
  return lines.length === 0 ? undefined : lines
}

function refused(status: 400 | 403 | 404 | 422, why: string): WitnessAnswer {
  return { status, type: 'text/plain; charset=utf-8', body: `${why}\n` }
}

async function hashOf(origin: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(origin)))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
