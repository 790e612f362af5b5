import { type Logger, symbols } from 'pino'

/** What the log says of a call. No content, no secrets. */
export interface CallLine {
  request: string
  receipt: string
  project: string
  key: string
  alias: string | undefined
  clientRetry: number | undefined
  model: string
  stream: boolean
  attempts: number
  faults: readonly string[]
  outcome: string
  reason: string | undefined
  settlement: string
  usage: Readonly<Record<string, number | undefined>>
  usageSource: string
  heldNanousd: string
  chargedNanousd: string
  absorbedNanousd: string
  firstByteMs: number | undefined
  totalMs: number
  upstreamMs: number
}

/** The parts of a pino logger that a line is made of. */
interface Internals {
  [symbols.lsCacheSym]: Readonly<Record<number, string>>
  [symbols.timeSym]: () => string
  [symbols.chindingsSym]: string
  [symbols.endSym]: string
  [symbols.streamSym]: { write(line: string): void }
}

const INFO = 30

/**
 * The same line as `log.info(line, 'call')` of a logger without serializers, mixins and redaction of its own, written
 * member by member: one is written for every call, and pino takes five times as long to find out what is in it.
 */
export function logCall(log: Logger, line: CallLine): void {
  if (!log.isLevelEnabled('info')) return
  const pino = log as unknown as Internals
  let text = `${pino[symbols.lsCacheSym][INFO]}${pino[symbols.timeSym]()}${pino[symbols.chindingsSym]}`
  text += `,"request":${quoted(line.request)},"receipt":${quoted(line.receipt)}`
  text += `,"project":${quoted(line.project)},"key":${quoted(line.key)}`
  if (line.alias !== undefined) text += `,"alias":${quoted(line.alias)}`
  if (line.clientRetry !== undefined) text += `,"clientRetry":${line.clientRetry}`
  text += `,"model":${quoted(line.model)},"stream":${line.stream},"attempts":${line.attempts}`
  text += `,"faults":${line.faults.length === 0 ? '[]' : JSON.stringify(line.faults)}`
  text += `,"outcome":${quoted(line.outcome)}`
  if (line.reason !== undefined) text += `,"reason":${quoted(line.reason)}`
  text += `,"settlement":${quoted(line.settlement)},"usage":${JSON.stringify(line.usage)}`
  text += `,"usageSource":${quoted(line.usageSource)},"heldNanousd":${quoted(line.heldNanousd)}`
  text += `,"chargedNanousd":${quoted(line.chargedNanousd)},"absorbedNanousd":${quoted(line.absorbedNanousd)}`
  if (line.firstByteMs !== undefined) text += `,"firstByteMs":${line.firstByteMs}`
  text += `,"totalMs":${line.totalMs},"upstreamMs":${line.upstreamMs},"msg":"call"`
  pino[symbols.streamSym].write(text + pino[symbols.endSym])
}

function quoted(text: string): string {
  return /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text) ? `"${text}"` : JSON.stringify(text)
}
