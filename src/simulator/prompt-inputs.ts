import { isWhole } from './json-fields.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { countTokens } from './tokens.ts'

/** One text among those that a request brings. */
export interface PromptInput {
  /** Empty for one that came as tokens. */
  text: string
  tokens: number
  /** What tells two of them apart. */
  seed: string
}

const INPUTS_MAX = 2048

/** A text, a list of texts, a list of tokens, or a list of those: what older APIs take. */
export function readInputs(value: unknown, param: string): PromptInput[] | Refusal {
  const list = Array.isArray(value) && !value.every(isToken) ? value : [value]
  if (list.length > INPUTS_MAX) return badRequest(`'${param}' must hold at most ${INPUTS_MAX} inputs.`, param)
  const inputs: PromptInput[] = []
  for (const one of list) {
    if (typeof one === 'string') inputs.push({ text: one, tokens: countTokens(one), seed: `"${one}` })
    else if (Array.isArray(one) && one.length > 0 && one.every(isToken))
      inputs.push({ text: '', tokens: one.length, seed: one.join(',') })
    else return badRequest(`'${param}' must be a string, a list of tokens, or a list of either.`, param)
  }
  return inputs
}

function isToken(value: unknown): boolean {
  return isWhole(value, 0)
}
