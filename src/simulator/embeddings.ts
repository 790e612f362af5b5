import { embed } from './embedding-vector.ts'
import { isFields, isWhole } from './json-fields.ts'
import { findModel } from './models.ts'
import { openai } from './openai-vendor.ts'
import { type PromptInput, readInputs } from './prompt-inputs.ts'
import { type Answer, type CallRequest, jsonBody, type Protocol } from './protocol.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { parseSwitches } from './switches.ts'
import { claimedUsage, promptUsage } from './usage.ts'

interface Wanted {
  modelAsked: string
  inputs: readonly PromptInput[]
  dimensions: number
  base64: boolean
}

type EmbeddingsRequest = CallRequest & Wanted
type EmbeddingsAnswer = Answer & Wanted

const DIMENSIONS_DEFAULT = 256
const DIMENSIONS_MAX = 4096
/** What one answer may hold: the numbers of all vectors together. */
const NUMBERS_MAX = 2_000_000

/** OpenAI's embeddings: the same text has the same vector, and every vector the length 1. */
export const embeddings: Protocol<EmbeddingsRequest, EmbeddingsAnswer> = {
  name: 'embeddings',
  idPrefix: 'embd-',
  vendor: openai,
  parse,
  compose: ({ modelAsked, inputs, dimensions, base64, promptTokens, sim }) => ({
    kind: 'answer',
    stream: false,
    usage: promptUsage(promptTokens, sim),
    modelAsked,
    inputs,
    dimensions,
    base64,
    sim,
  }),
  carriage: () => jsonBody,
  body({ modelAsked, inputs, dimensions, base64, usage, sim }, _identity, extra) {
    const data = inputs.map(({ seed }, index) => {
      const vector = embed(seed, dimensions)
      const embedding = base64
        ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
        : Array.from(vector)
      return { object: 'embedding', index, embedding }
    })
    // Its only count is the prompt's, so that is what lies are about.
    const { completion: claimed } = claimedUsage({ ...usage, completion: usage.prompt }, sim.usage)
    const body = {
      object: 'list',
      data,
      model: modelAsked,
      ...(sim.usage !== 'none' && { usage: { prompt_tokens: claimed, total_tokens: claimed } }),
    }
    return `${JSON.stringify(body).slice(0, -1)}${extra}}`
  },
  chunks: () => [],
  failedBody: ({ refusal, identity }) => openai.errorBody(refusal, identity.requestId),
  errorFrame: () => undefined,
  brokenFrame: { data: '' },
}

function parse(body: unknown): EmbeddingsRequest | Refusal {
  if (!isFields(body)) return badRequest('The body must be a JSON object.', null)
  const asked = body.model
  if (typeof asked !== 'string' || asked === '') return badRequest('You must provide a model parameter.', 'model')
  const found = findModel(asked, 'embedding')
  if ('status' in found) return found
  const inputs = readInputs(body.input, 'input')
  if ('status' in inputs) return inputs
  if (inputs.length === 0 || inputs.some(({ tokens }) => tokens === 0))
    return badRequest("'input' must not be empty.", 'input')
  const dimensions = body.dimensions ?? DIMENSIONS_DEFAULT
  if (!isWhole(dimensions) || dimensions > DIMENSIONS_MAX)
    return badRequest(`'dimensions' must be 1 to ${DIMENSIONS_MAX}.`, 'dimensions')
  if (dimensions * inputs.length > NUMBERS_MAX)
    return badRequest(`All vectors together must have at most ${NUMBERS_MAX} numbers.`, 'input')
  const format = body.encoding_format ?? 'float'
  if (format !== 'float' && format !== 'base64')
    return badRequest("'encoding_format' must be float or base64.", 'encoding_format')
  const parsed = parseSwitches(body.sim)
  if ('problem' in parsed) return badRequest(parsed.problem, parsed.param)
  return {
    model: found.model,
    modelAsked: asked,
    stream: false,
    hasStreamOptions: false,
    promptTokens: inputs.reduce((sum, { tokens }) => sum + tokens, 0),
    lastRole: '',
    inputs,
    dimensions,
    base64: format === 'base64',
    sim: parsed.switches,
  }
}
