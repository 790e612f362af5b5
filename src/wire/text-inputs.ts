import { countTexts, type TokenCount } from './count-tokens.ts'
import { problem } from './request-head.ts'
import type { RequestProblem } from './text-request.ts'

/** Texts to work on one by one, each as it is or already as tokens. */
export interface TextInputs {
  texts: string[]
  /** How many tokens each of the others has. */
  tokenCounts: number[]
}

/** Reads a text, a list of texts, a list of tokens, or a list of those. At most `inputsMax`. */
export function readTextInputs(value: unknown, name: string, inputsMax: number): TextInputs | RequestProblem {
  if (typeof value === 'string') return { texts: [value], tokenCounts: [] }
  if (!Array.isArray(value)) return problem(name, 'must be a string, or an array of strings or of tokens')
  if (value.length === 0) return problem(name, 'must hold at least one text')
  if (typeof value[0] === 'number') {
    const wrong = value.findIndex((token) => !isToken(token))
    if (wrong !== -1) return problem(`${name}[${wrong}]`, 'must be a token')
    return { texts: [], tokenCounts: [value.length] }
  }
  if (value.length > inputsMax) return problem(name, `must hold at most ${inputsMax} texts`)
  const texts: string[] = []
  const tokenCounts: number[] = []
  for (const [index, each] of value.entries()) {
    if (typeof each === 'string') texts.push(each)
    else if (Array.isArray(each) && each.length > 0 && each.every(isToken)) tokenCounts.push(each.length)
    else return problem(`${name}[${index}]`, 'must be a string or an array of tokens')
  }
  return { texts, tokenCounts }
}

/** Tokens of all inputs; `more` are texts that are read with them. */
export function countInputs({ texts, tokenCounts }: TextInputs, more: readonly string[] = []): TokenCount {
  const counted = countTexts([...texts, ...more])
  return { ...counted, tokens: tokenCounts.reduce((sum, count) => sum + count, counted.tokens) }
}

function isToken(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
