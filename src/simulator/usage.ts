import type { Switches } from './switches.ts'

/** What a call truly used, in the simulator's tokens. `cached` is a part of `prompt`, `reasoning` of `completion`. */
export interface TrueUsage {
  prompt: number
  cached: number
  completion: number
  reasoning: number
}

/** More tokens than any model ever wrote: what an upstream with a broken counter might claim. */
const ABSURD_TOKENS = 1_000_000_000_000

/** OpenAI's usage object as JSON text, telling the truth or the lie that `mode` asks for. */
export function usageJson(usage: TrueUsage, mode?: Switches['usage']): string {
  switch (mode) {
    case 'zero':
      return render({ prompt: 0, cached: 0, completion: 0, reasoning: 0 })
    case 'negative':
      return render({ ...usage, completion: -1 - usage.completion })
    case 'fractional':
      return render({ ...usage, completion: usage.completion + 0.5 })
    case 'absurd':
      return render({ ...usage, completion: ABSURD_TOKENS })
    case 'inconsistent':
      return render({ ...usage, cached: usage.prompt + 1, reasoning: usage.completion + 1 })
    default:
      return render(usage)
  }
}

/** What some upstreams report before they know: the prompt is final, the completion a placeholder of one token. */
export function placeholderJson(usage: TrueUsage): string {
  return render({ ...usage, completion: 1, reasoning: 0 })
}

function render(usage: TrueUsage): string {
  return (
    `{"prompt_tokens":${usage.prompt},"completion_tokens":${usage.completion},` +
    `"total_tokens":${usage.prompt + usage.completion},` +
    `"prompt_tokens_details":{"cached_tokens":${usage.cached},"audio_tokens":0},` +
    `"completion_tokens_details":{"reasoning_tokens":${usage.reasoning},"audio_tokens":0,` +
    '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
  )
}
