import type { Switches } from './switches.ts'
import { claimedUsage, type TrueUsage } from './usage.ts'

/** OpenAI's usage object of chat and completions as JSON text, telling the truth or the lie that `mode` asks for. */
export function usageJson(usage: TrueUsage, mode?: Switches['usage']): string {
  return render(claimedUsage(usage, mode))
}

/** What some upstreams report before they know: the prompt is final, the completion a placeholder of one token. */
export function placeholderJson(usage: TrueUsage): string {
  return render({ ...usage, completion: 1, reasoning: 0 })
}

function render(usage: TrueUsage): string {
  const written = usage.cacheWrite5m + usage.cacheWrite1h
  return (
    `{"prompt_tokens":${usage.prompt},"completion_tokens":${usage.completion},` +
    `"total_tokens":${usage.prompt + usage.completion},` +
    `"prompt_tokens_details":{"cached_tokens":${usage.cached},${written > 0 ? `"cache_write_tokens":${written},` : ''}"audio_tokens":0},` +
    `"completion_tokens_details":{"reasoning_tokens":${usage.reasoning},"audio_tokens":0,` +
    '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
  )
}
