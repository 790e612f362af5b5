import { REQUEST_NANOS_MAX, upperBoundOf } from '#billing/price.ts'
import { AppError } from '#src/errors.ts'
import type { SpeechInput, SpeechRefusal, Voice } from '#wire/speech-format.ts'
import type { SpeechRequest } from '#wire/speech-request.ts'
import { chooseVoice } from '#wire/speech-voice-mapping.ts'
import type { AudioRoute } from './audio-routes.ts'
import { meterSpeech, type SpeechMeter } from './speech-meter.ts'
import type { SpeechTarget } from './speech-target.ts'

/** What one target would be asked for, and what that would cost. */
export interface SpeechOffer {
  input: SpeechInput
  meter: SpeechMeter
}

export interface SpeechOffers {
  /** The route without the targets that cannot say it. */
  route: AudioRoute<SpeechTarget>
  offers: ReadonlyMap<SpeechTarget, SpeechOffer>
  /** Nano-dollars that cover the call wherever it is served. */
  hold: bigint
}

/**
 * Puts a request to every target of its model, on paper: with the voice that each has for it. Targets that cannot say it are
 * left out. `known`: the voices of a target, without asking anybody. Throws AppError: upstream_rejected where nobody can say
 * it, unsupported_parameter where nobody can without leaving something out and `strict` is wanted, config_invalid,
 * body_invalid beyond the most that a call may cost.
 */
export function offerSpeech(
  request: SpeechRequest,
  route: AudioRoute<SpeechTarget>,
  options: { known: (target: SpeechTarget) => readonly Voice[]; strict: boolean },
): SpeechOffers {
  const offers = new Map<SpeechTarget, SpeechOffer>()
  const refusals: SpeechRefusal[] = []
  let dropped: string | undefined
  let hold = 0n
  const all = route.targets.flatMap(options.known)
  for (const target of route.targets) {
    const input = inputFor(request, route, target, options.known(target), all)
    const refusal = target.adapter.check(input, target.params, target.baseUrl)
    if (refusal !== undefined) {
      refusals.push(refusal)
      continue
    }
    const [lost] = options.strict ? target.adapter.drops(input, target.params, target.baseUrl) : []
    if (lost !== undefined) {
      dropped = lost
      continue
    }
    const { price } = target.priced
    const meter = meterSpeech(price.lines, target.adapter.count(input, target.params), input.text)
    const nanos = upperBoundOf(meter.usage, price)
    if (nanos > hold) hold = nanos
    offers.set(target, { input, meter })
  }
  const [first, ...rest] = route.targets.filter((target) => offers.has(target))
  if (first === undefined) throw nobody(refusals, dropped)
  if (hold > REQUEST_NANOS_MAX)
    throw new AppError('body_invalid', { message: 'One request may not cost more than 1,000 dollars.', param: 'input' })
  return { route: { ...route, targets: [first, ...rest] }, offers, hold }
}

function inputFor(
  request: SpeechRequest,
  route: AudioRoute<SpeechTarget>,
  target: SpeechTarget,
  voices: readonly Voice[],
  known: readonly Voice[],
): SpeechInput {
  const { adapter, params, upstreamId, priced } = target
  const own = params.voice
  const { voice } = chooseVoice({
    voice: request.voice,
    mapping: route.voices.mapping,
    upstreamId,
    voices,
    defaultVoice: typeof own === 'string' && own !== '' ? own : adapter.defaultVoice,
    known,
    model: priced.model,
  })
  return {
    text: request.input,
    model: priced.model,
    voice,
    speed: request.speed,
    format: request.format,
    instructions: request.instructions,
    streamFormat: request.streamFormat,
    extra: request.extra,
  }
}

/** The first target's own words where the caller can mend it. */
function nobody(refusals: readonly SpeechRefusal[], dropped: string | undefined): AppError {
  if (dropped !== undefined)
    return new AppError('unsupported_parameter', {
      message: `No upstream of this model can be asked for this: '${dropped}' is not supported.`,
      param: dropped,
    })
  const refusal = refusals.find(({ refused }) => refused === 'caller')
  if (refusal === undefined) return new AppError('config_invalid', { details: { refusals } })
  return new AppError('body_invalid', {
    message: `Invalid request: '${refusal.path}' ${refusal.message}.`,
    param: refusal.path,
  })
}
