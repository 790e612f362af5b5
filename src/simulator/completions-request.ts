import { isFields, isWhole } from './json-fields.ts'
import { findModel } from './models.ts'
import { readInputs } from './prompt-inputs.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { parseSwitches } from './switches.ts'
import type { TextRequest } from './text-request.ts'

/** A request to continue one or several texts. */
export interface CompletionsRequest extends TextRequest {
  /** What each is asked to continue; empty where it was given in tokens. */
  prompts: readonly string[]
}

const CHOICES_MAX = 64
/** As the API has always had it. */
const TOKENS_DEFAULT = 16

/** A typed request, or the refusal that OpenAI would answer with. */
export function parseCompletionsRequest(body: unknown): CompletionsRequest | Refusal {
  if (!isFields(body)) return badRequest('The body must be a JSON object.', null)
  const asked = body.model
  if (typeof asked !== 'string' || asked === '') return badRequest('You must provide a model parameter.', 'model')
  const found = findModel(asked, 'text')
  if ('status' in found) return found
  const inputs = readInputs(body.prompt ?? '', 'prompt')
  if ('status' in inputs) return inputs
  const choices = body.n ?? 1
  if (!isWhole(choices) || choices * inputs.length > CHOICES_MAX)
    return badRequest(`'n' times the prompts must be 1 to ${CHOICES_MAX}.`, 'n')
  const tokensMax = body.max_tokens ?? null
  if (tokensMax !== null && !isWhole(tokensMax)) return badRequest("'max_tokens' must be at least 1.", 'max_tokens')
  const parsed = parseSwitches(body.sim)
  if ('problem' in parsed) return badRequest(parsed.problem, parsed.param)

  const sim = parsed.switches
  const stop = body.stop ?? []
  const streamOptions = body.stream_options
  return {
    model: found.model,
    modelAsked: asked,
    stream: body.stream === true,
    includeUsage: isFields(streamOptions) && streamOptions.include_usage === true,
    hasStreamOptions: streamOptions !== undefined && streamOptions !== null,
    tokensMax: tokensMax ?? (sim.tokens === undefined ? TOKENS_DEFAULT : null),
    choices,
    stops: (Array.isArray(stop) ? stop : [stop]).filter((text) => typeof text === 'string' && text !== ''),
    tools: [],
    toolChoice: 'none',
    parallelToolCalls: false,
    jsonSchema: undefined,
    reasons: found.model === 'reasoner',
    showReasoning: false,
    promptTokens: Math.max(
      inputs.reduce((sum, { tokens }) => sum + tokens, 0),
      1,
    ),
    userText: '',
    lastRole: '',
    prompts: inputs.map(({ text }) => text),
    sim,
  }
}
