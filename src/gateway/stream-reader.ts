import { type AnswerIdentity, type StreamFormat, WireError } from '#wire/protocol.ts'
import { createFrameSplitter } from '#wire/sse-frames.ts'
import type { StreamTranslator } from '#wire/stream-translator.ts'
import type { AttemptListener } from './attempt.ts'
import type { UpstreamFault } from './upstream-fault.ts'

export interface StreamReaderOptions {
  frameBytesMax: number
  /** Of the upstream's protocol. */
  format: Pick<StreamFormat, 'inspect'>
  /** Set where the client speaks another protocol than the upstream. */
  translator?: StreamTranslator
  /** What is wrong with a 200 that is JSON and no stream. */
  faultOfWhole(body: string): string | undefined
  /** Answers asked for: with several, one that has finished says nothing of the others. */
  choices: number
  /** Whether the client asked to see the usage chunk. */
  includeUsage: boolean
  /** Comes before the frames it stands in. What follows the last onFrames when the attempt fails was not passed on. */
  onText(text: string): void
  /** Whole frames as they came, from the first content on. */
  onFrames(bytes: Buffer): void
  /** The answer is whole. `last` are its final frames, which are due after the settlement. */
  onComplete(last: Buffer): void
  /** Once; nothing follows. Before the first onFrames the client has seen nothing of this attempt. */
  onFault(fault: UpstreamFault): void
}

/** Frames kept back before the first content, so that a fault can still move on to another target. */
const EARLY_FRAMES_MAX = 256
const EARLY_SILENT_MAX = 16
/** Of frames kept back before the first content or behind the last, each. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024
const NOTHING = Buffer.alloc(0)
const WHOLE_BODY_BYTES_MAX = 1024 * 1024

/**
 * Reads the stream of one attempt and decides what the client may see: nothing before the first content, everything
 * after it, and the frames that end the answer only when it is whole. A 200 that carries an error, is malformed or ends
 * early is a fault.
 */
export function createStreamReader(options: StreamReaderOptions): AttemptListener & {
  identity(): AnswerIdentity
  usage(): unknown
} {
  let identity: AnswerIdentity = {}
  let usage: unknown
  let early: Buffer[] = []
  let earlyBytes = 0
  const last: Buffer[] = []
  let lastBytes = 0
  let contentSeen = false
  let passedOn = false
  const finished = new Set<number>()
  // Set from the frame on that ends the last choice.
  let ending = false
  let over = false
  let notStreamed: Buffer[] | undefined
  let notStreamedBytes = 0
  const { format, translator } = options
  // The frames of one read that pass on are written together.
  let passing: Buffer[] = []
  let stretch: { buffer: Buffer; start: number; end: number } | undefined

  const splitter = createFrameSplitter(options.frameBytesMax, onFrame)

  function fault(value: UpstreamFault): void {
    if (over) return
    // Whatever breaks behind the end of the last choice breaks no answer.
    if (isFinished()) {
      complete()
      return
    }
    over = true
    // What was read together with the fault is charged with the rest, so it goes out too. Before the first frame has
    // gone out nothing does: the next target may still serve.
    if (passedOn) flush()
    options.onFault(value)
  }

  function isFinished(): boolean {
    return finished.size >= options.choices
  }

  function complete(): void {
    if (over) return
    let rest = NOTHING
    try {
      if (translator !== undefined) rest = Buffer.from(translator.end())
    } catch (cause) {
      untranslatable(cause)
      return
    }
    over = true
    flush()
    options.onComplete(Buffer.concat([...(contentSeen ? [] : early), ...last, rest]))
  }

  function flush(): void {
    close()
    if (passing.length === 0) return
    const bytes = early.length === 0 && passing.length === 1 ? passing[0] : Buffer.concat([...early, ...passing])
    passing = []
    early = []
    if (bytes === undefined || bytes.length === 0) return
    passedOn = true
    options.onFrames(bytes)
  }

  /** Frames that stand next to each other in one read are passed on as one piece of it. */
  function pass(buffer: Buffer, start: number, end: number): void {
    if (stretch?.buffer === buffer && stretch.end === start) {
      stretch.end = end
      return
    }
    close()
    stretch = { buffer, start, end }
  }

  function close(): void {
    if (stretch === undefined) return
    passing.push(stretch.buffer.subarray(stretch.start, stretch.end))
    stretch = undefined
  }

  function onFrame(buffer: Buffer, start: number, end: number): void {
    if (over) return
    const facts = format.inspect(buffer, start, end, !contentSeen)
    switch (facts.kind) {
      case 'silent':
        if (translator === undefined) putSilent(buffer, start, end)
        return
      case 'done':
        if (finished.size === 0 && !contentSeen) fault({ class: 'provider', code: 'empty_stream' })
        else {
          if (facts.frame && translator === undefined) keepLast(buffer, start, end)
          complete()
        }
        return
      case 'error':
        fault({ class: 'provider', code: 'error_in_stream' })
        return
      case 'malformed':
        fault({ class: 'provider', code: 'malformed_frame' })
        return
      case 'chunk':
        break
    }
    if (facts.identity !== undefined) identity = { ...facts.identity, ...identity }
    for (const index of facts.finished) finished.add(index)
    // Before the end of an answer usage is a placeholder or a count so far.
    if (facts.usage !== undefined && (facts.bare || finished.size > 0)) usage = facts.usage
    if (facts.bare && facts.usage !== undefined && translator === undefined) {
      if (options.includeUsage) keepLast(buffer, start, end)
      return
    }
    if (facts.text !== '') options.onText(facts.text)
    if (isFinished()) ending = true
    if (relayed(facts, buffer, start, end) && facts.closing === true) complete()
  }

  /** Passes a frame on or keeps it, in the client's protocol. False: it cannot be translated. */
  function relayed(facts: { content: boolean }, buffer: Buffer, start: number, end: number): boolean {
    if (translator === undefined) {
      put(facts, buffer, start, end)
      return true
    }
    try {
      const frames = Buffer.from(translator.frame(buffer, start, end))
      put(facts, frames, 0, frames.length)
      return true
    } catch (cause) {
      untranslatable(cause)
      return false
    }
  }

  function put(facts: { content: boolean }, buffer: Buffer, start: number, end: number): void {
    if (ending) keepLast(buffer, start, end)
    else if (contentSeen || facts.content || !keepEarly(buffer, start, end)) {
      contentSeen = true
      pass(buffer, start, end)
    }
  }

  /** Comments and pings stay where they stand; those that fill the time before the first content need not all be kept. */
  function putSilent(buffer: Buffer, start: number, end: number): void {
    if (ending) keepLast(buffer, start, end)
    else if (contentSeen) pass(buffer, start, end)
    else if (early.length < EARLY_SILENT_MAX) keepEarly(buffer, start, end)
  }

  function untranslatable(cause: unknown): void {
    if (!(cause instanceof WireError)) throw cause
    finished.clear()
    fault({ class: 'provider', code: 'malformed_frame', cause })
  }

  /** False when so much has been kept back that it must count as content. */
  function keepEarly(buffer: Buffer, start: number, end: number): boolean {
    earlyBytes += end - start
    if (early.length >= EARLY_FRAMES_MAX || earlyBytes > KEPT_BYTES_MAX) return false
    early.push(buffer.subarray(start, end))
    return true
  }

  /** An upstream that goes on and on after the end of its answer has ended it. */
  function keepLast(buffer: Buffer, start: number, end: number): void {
    last.push(buffer.subarray(start, end))
    lastBytes += end - start
    if (lastBytes > KEPT_BYTES_MAX) complete()
  }

  return {
    identity() {
      return identity
    },
    usage() {
      return usage
    },

    onAnswer(headers) {
      const type = String(headers['content-type'] ?? '')
      if (/^application\/json\b/i.test(type)) notStreamed = []
      else if (/^text\/html\b/i.test(type)) fault({ class: 'provider', code: 'html_answer' })
    },

    onBody(chunk) {
      if (over) return
      if (notStreamed !== undefined) {
        notStreamed.push(chunk)
        notStreamedBytes += chunk.length
        if (notStreamedBytes > WHOLE_BODY_BYTES_MAX) fault({ class: 'provider', code: 'not_a_stream' })
        return
      }
      try {
        splitter.push(chunk)
      } catch (cause) {
        fault({ class: 'provider', code: 'frame_too_long', cause })
        return
      }
      if (!over) flush()
    },

    onEnd() {
      if (over) return
      if (notStreamed !== undefined) {
        const code = options.faultOfWhole(Buffer.concat(notStreamed).toString('utf8')) ?? 'not_a_stream'
        fault({ class: 'provider', code })
        return
      }
      const rest = splitter.rest()
      if (rest.length > 0) {
        const frame = Buffer.concat([rest, Buffer.from('\n\n')])
        onFrame(frame, 0, frame.length)
        flush()
      }
      // Some providers never send [DONE]; an answer whose choices have all finished is whole without it.
      if (isFinished()) complete()
      else fault({ class: 'provider', code: contentSeen ? 'cut' : 'empty_stream' })
    },

    onFault: fault,
  }
}
