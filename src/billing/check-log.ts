import { decodeBase64 } from '#lib/base64.ts'
import { HASH_BYTES } from './merkle-path.ts'
import { parseCheckpoint } from './tlog/checkpoint.ts'
import { parseNote } from './tlog/note.ts'
import { quorumTime, type TlogPolicy } from './tlog/policy.ts'
import { parseTlogProof, verifyTlogProof } from './tlog/tlog-proof.ts'
import { failed, messageOf, notReached, passed, type VerifyStep } from './verify-steps.ts'

export interface LogCheck {
  step: VerifyStep<'log'>
  /** When enough witnesses had seen the batch, as times are written on receipts. Absent where no witness is asked for. */
  witnessedAt?: string
}

/**
 * Whether the log has the batch of a bundle, under a checkpoint that the policy accepts. Of several proofs of this batch
 * the one that witnesses saw first counts. `bundle` is parsed JSON of any kind; never throws.
 */
export async function checkLog(bundle: unknown, proofs: readonly string[], policy: TlogPolicy): Promise<LogCheck> {
  const root = rootOf(bundle)
  if (root === undefined) return { step: notReached('log', 'the batch is not readable') }
  let problem = 'there is no proof'
  let best: LogCheck | undefined
  for (const proof of proofs) {
    const check = await checkProof(root, proof, policy)
    if (check.step.ok) {
      if (check.witnessedAt === undefined) return check
      if (best?.witnessedAt === undefined || check.witnessedAt < best.witnessedAt) best = check
      continue
    }
    problem = proofs.length === 1 ? check.step.detail : 'none of the proofs is of this batch, or none is good'
  }
  return best ?? { step: failed('log', problem) }
}

async function checkProof(root: Uint8Array, proof: string, policy: TlogPolicy): Promise<LogCheck> {
  try {
    const { origin } = parseCheckpoint(parseNote(parseTlogProof(proof).checkpoint).text)
    const log = policy.logs.find(({ name }) => name === origin)
    if (log === undefined) return { step: failed('log', `the proof is of the log ${origin}, which is not trusted`) }
    const verdict = await verifyTlogProof(proof, root, { log, witnesses: policy.witnesses, quorum: 0 })
    if (!verdict.ok) return { step: failed('log', verdict.problem) }
    const { checkpoint, cosignatures, index } = verdict
    const time = quorumTime(policy, cosignatures)
    if (time === undefined)
      return { step: failed('log', `the witnesses that cosigned are no quorum: ${cosignatures.length} that are known`) }
    const place = `leaf ${index} of ${checkpoint.size} in ${checkpoint.origin}`
    if (time === 0) return { step: passed('log', `${place}; no witness was asked for`) }
    const witnessedAt = new Date(time * 1000).toISOString()
    return {
      step: passed('log', `${place}; ${cosignatures.length} witnesses, a quorum by ${witnessedAt}`),
      witnessedAt,
    }
  } catch (error) {
    return { step: failed('log', messageOf(error)) }
  }
}

function rootOf(bundle: unknown): Uint8Array | undefined {
  try {
    const batch: unknown = Reflect.get(Object(bundle), 'batch')
    const root: unknown = Reflect.get(Object(batch), 'root')
    const bytes = typeof root === 'string' ? decodeBase64(root) : undefined
    return bytes?.byteLength === HASH_BYTES ? bytes : undefined
  } catch {
    return undefined
  }
}
