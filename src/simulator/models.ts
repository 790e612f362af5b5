import { type Refusal, refuse } from './refusal.ts'

/** What a model can be asked for. Text models answer in every protocol of text. */
export type Surface = 'text' | 'embedding' | 'speech' | 'transcription'

const models = {
  echo: 'text',
  large: 'text',
  reasoner: 'text',
  free: 'text',
  embed: 'embedding',
  speak: 'speech',
  // Gateways tell by these names that tokens are billed, as with the models that they are called after.
  'gpt-sim-tts': 'speech',
  transcribe: 'transcription',
  'gpt-sim-transcribe': 'transcription',
} as const satisfies Record<string, Surface>

export type ModelName = keyof typeof models

export const modelNames = Object.keys(models) as ModelName[]

/** A model of this surface by its name, with or without `sim/`, or OpenAI's refusal. */
export function findModel(asked: string, surface: Surface): { model: ModelName } | Refusal {
  const name = asked.startsWith('sim/') ? asked.slice('sim/'.length) : asked
  // Own members only: a model may be called `constructor`.
  const model = Object.hasOwn(models, name) ? (name as ModelName) : undefined
  if (model !== undefined && models[model] === surface) return { model }
  const others = modelNames.filter((other) => models[other] === surface).join(', ')
  return refuse(404, {
    message: `The model '${asked}' does not exist. The simulator serves ${others} here.`,
    type: 'invalid_request_error',
    param: 'model',
    code: 'model_not_found',
  })
}
