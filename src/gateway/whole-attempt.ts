import { createBytePile } from '#lib/byte-pile.ts'
import { type WholeFacts, WireError } from '#wire/protocol.ts'
import { type AttemptTimeouts, startAttempt } from './attempt.ts'
import { type Call, interpreterOf } from './call.ts'
import type { Gateway } from './gateway.ts'
import type { Interpreter } from './interpreter.ts'
import type { Lane, Runner } from './race.ts'
import type { Target } from './target.ts'
import type { UpstreamFault } from './upstream-fault.ts'
import { upstreamRequest } from './upstream-request.ts'

export interface WholeAnswer {
  /** As the client gets it. */
  body: Buffer
  headers: Record<string, string | string[] | undefined>
  facts: Extract<WholeFacts, { text: string }>
}

export interface WholeAttemptOptions {
  lane: Lane<Target>
  patience: AttemptTimeouts
  /** It serves: this is the answer. */
  onAnswer: (target: number, answer: WholeAnswer) => void
}

/** Asks one target for an answer in one piece. It serves when it is complete and can be read. */
export function startWholeAttempt(
  gateway: Gateway,
  call: Call,
  { lane, patience, onAnswer }: WholeAttemptOptions,
): Runner {
  const { target } = lane
  const interpreter = interpreterOf(call, target)
  const pile = createBytePile()
  let bytes = 0
  let begun = false
  let headers: WholeAnswer['headers'] = {}
  const attempt = startAttempt(gateway.upstream, target, upstreamRequest(call, target), patience, {
    onAnswer(received) {
      headers = received
    },
    onBody(chunk) {
      // Some providers send white space while they think.
      begun ||= !isBlank(chunk)
      if (begun) call.firstByteAt ??= performance.now()
      bytes += chunk.length
      pile.add(chunk)
      if (bytes > gateway.limits.answerBytesMax) lane.fail({ class: 'provider', code: 'answer_too_large' })
    },
    onEnd() {
      const answer = readAnswer(interpreter, pile.joined(), headers)
      if ('code' in answer) lane.fail(answer)
      else if (lane.serve()) onAnswer(lane.index, answer)
    },
    onFault: (fault) => lane.fail(fault),
  })
  return { abort: attempt.abort, tick: attempt.tick, sent: attempt.sent, begun: () => begun }
}

function isBlank(chunk: Buffer): boolean {
  return chunk.every((byte) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)
}

function readAnswer(
  interpreter: Interpreter,
  body: Buffer,
  headers: WholeAnswer['headers'],
): WholeAnswer | UpstreamFault {
  const facts = interpreter.parseWhole(body.toString('utf8'))
  if ('fault' in facts) return { class: 'provider', code: facts.fault }
  try {
    return { body: interpreter.render(body), headers, facts }
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    return { class: 'provider', code: 'malformed', cause }
  }
}
