import type { ServerResponse } from 'node:http'
import type { OpenCall, Oracle } from './oracle.ts'
import type { Pacer } from './pacer.ts'
import type { EndState, Step } from './script.ts'
import { createSink, type Sink } from './sink.ts'
import type { Switches } from './switches.ts'

/** Text that is ready at once is gathered up to this many characters before it is written. */
const GATHER_LENGTH_MAX = 16 * 1024

/**
 * Performs a script on a response and keeps its record: tokens and characters count when the write that carries them is handed to a
 * response that is still open. Every wait, also one without end, is over when the peer goes away.
 */
export function play(options: {
  response: ServerResponse
  steps: Iterator<Step, void, undefined>
  sim: Switches
  call: OpenCall
  oracle: Oracle
  pacer: Pacer
}): void {
  const { response, steps, sim, call, oracle, pacer } = options
  const splits = sim.one_byte === true || sim.split_utf8 === true || sim.gzip === true
  const gatherMax = splits ? 1 : GATHER_LENGTH_MAX
  let sink: Sink | undefined
  let encoding: 'utf8' | 'latin1' = 'utf8'
  let gathered = { text: '', tokens: 0, reasoning: 0, characters: 0 }
  let dueMs = performance.now()
  let cancelWait: (() => void) | undefined
  // What follows once the gathered text is out.
  let waitMs = 0
  let resetting = false
  let ended = false

  response.on('close', () => {
    cancelWait?.()
    finish('aborted')
  })
  run()

  function run(): void {
    while (!ended) {
      if (waitMs > 0 || resetting || gathered.text.length >= gatherMax) {
        if (!flush()) return
        if (resetting) reset()
        if (ended || (waitMs > 0 && !wait())) return
      }
      const step = steps.next()
      if (step.done === true || !perform(step.value)) return
    }
  }

  /** Takes one step in; false when the script is over. */
  function perform(step: Step): boolean {
    switch (step.do) {
      case 'head':
        call.status = step.status
        encoding = step.encoding ?? 'utf8'
        response.writeHead(step.status, step.headers)
        return true
      case 'send':
        gathered.text += step.text
        gathered.tokens += step.tokens
        gathered.reasoning += step.reasoning
        if (step.characters !== undefined) gathered.characters += step.characters
        return true
      case 'wait':
        waitMs = step.ms
        return true
      case 'reset':
        resetting = true
        return true
      case 'end':
        sink ??= createSink({ response, sim, encoding, resume: run })
        sink.end(take(), () => finish(step.state))
        return false
    }
  }

  /** Writes what is gathered. Returns false when the sink will call `run` again. */
  function flush(): boolean {
    if (gathered.text === '') return true
    if (response.destroyed) return false
    sink ??= createSink({ response, sim, encoding, resume: run })
    return sink.write(take())
  }

  /** Counts what is gathered as delivered, empties it and returns its text. */
  function take(): string {
    const { text, tokens, reasoning, characters } = gathered
    gathered = { text: '', tokens: 0, reasoning: 0, characters: 0 }
    call.completionTokens += tokens
    call.reasoningTokens += reasoning
    call.spokenCharacters += characters
    call.bytes += Buffer.byteLength(text, encoding)
    return text
  }

  /** Waits until so long after the previous deadline, so that late timers do not add up. True when it is past. */
  function wait(): boolean {
    dueMs += waitMs
    waitMs = 0
    if (dueMs === Number.POSITIVE_INFINITY) return false
    if (dueMs <= performance.now()) return true
    cancelWait = pacer.at(dueMs, run)
    return false
  }

  /** What was written goes out before the reset does, so the count stays true. */
  function reset(): void {
    finish('cut')
    const { socket } = response
    if (socket === null) return
    if (socket.writableLength === 0) socket.resetAndDestroy()
    else socket.write('', () => socket.resetAndDestroy())
  }

  function finish(state: EndState): void {
    ended = true
    oracle.close(call, state)
  }
}
