import type { FastifyReply } from 'fastify'
import type { ProofAnswer } from '#domain/log/log-proofs.ts'
import { AppError } from '#src/errors.ts'

const RETRY_SECONDS = '2'

/** What is signed and has no place in the log yet. */
export function pendingInLog(): AppError {
  return new AppError('log_pending', { headers: { 'retry-after': RETRY_SECONDS } })
}

/** Sends a proof as c2sp.org/tlog-proof has it. It is not cached: a later one may have more cosignatures. */
export function sendProof(reply: FastifyReply, answer: ProofAnswer, missing: string): FastifyReply {
  if (answer.status === 'not_found') throw new AppError('not_found', { message: missing })
  if (answer.status === 'pending') throw pendingInLog()
  return reply.type('text/plain; charset=utf-8').send(answer.proof)
}
