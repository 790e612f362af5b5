import type { Choice } from './answer.ts'
import { composeChoice } from './answer.ts'
import { type Fields, isFields } from './json-fields.ts'
import type { Answer, CallRequest } from './protocol.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { promptUsage } from './usage.ts'

/** A request for text, whichever protocol it came in. Every field that is not here is accepted and ignored. */
export interface TextRequest extends CallRequest {
  includeUsage: boolean
  tokensMax: number | null
  choices: number
  stops: readonly string[]
  tools: readonly { name: string; parameters: unknown }[]
  toolChoice: 'auto' | 'none' | 'required' | { name: string }
  parallelToolCalls: boolean
  /** Undefined means free text, `{}` any JSON object. */
  jsonSchema: unknown
  /** Whether the model thinks before it answers. */
  reasons: boolean
  showReasoning: boolean
  userText: string
}

/** An answer that is text or calls of tools. */
export interface TextAnswer extends Answer {
  modelAsked: string
  includeUsage: boolean
  choices: readonly Choice[]
}

const TOOLS_MAX = 128
/** What a picture or a sound in a message costs, in tokens. */
export const MEDIA_TOKENS = 85

/** The answer to a request for text, the same one each time. */
export function composeText(request: TextRequest): TextAnswer {
  const { sim } = request
  const choices = [composeChoice(request, 0)]
  for (let index = 1; index < request.choices; index += 1) choices.push(composeChoice(request, index))
  return textAnswer(request, choices, promptUsage(request.promptTokens, sim))
}

/** An answer of these choices; what they are made of is added to the usage. */
export function textAnswer(request: TextRequest, choices: readonly Choice[], usage: TextAnswer['usage']): TextAnswer {
  for (const choice of choices) {
    usage.completion += choice.tokens
    usage.reasoning += choice.reasoningTokens
  }
  const { modelAsked, stream, includeUsage, sim } = request
  return { kind: 'answer', modelAsked, stream, includeUsage, choices, usage, sim }
}

/** The tools that can be called. `described` finds the name and the schema of one; nothing: it is not to be called. */
export function parseTools(
  value: unknown,
  path: string,
  described: (tool: Fields) => { name: unknown; parameters: unknown } | undefined,
): Refusal | { name: string; parameters: unknown }[] {
  if (!Array.isArray(value) || value.length > TOOLS_MAX) {
    return badRequest(`'tools' must be an array of at most ${TOOLS_MAX} tools.`, 'tools')
  }
  const tools = []
  for (const [index, tool] of value.entries()) {
    const found = isFields(tool) ? described(tool) : { name: undefined, parameters: undefined }
    if (found === undefined) continue
    const { name, parameters } = found
    if (typeof name !== 'string' || name === '') {
      return badRequest(`'tools[${index}].${path}' must be a string.`, `tools[${index}].${path}`)
    }
    tools.push({ name, parameters: parameters ?? { type: 'object' } })
  }
  return tools
}

/** The tool of this name, if it is one of them. */
export function namedTool(name: unknown, tools: readonly { name: string }[]): TextRequest['toolChoice'] | Refusal {
  if (typeof name === 'string' && tools.some((tool) => tool.name === name)) return { name }
  return badRequest("'tool_choice' must be none, auto, required or name one of the tools.", 'tool_choice')
}
