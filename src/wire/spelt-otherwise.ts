import type { RequestProblem } from './text-request.ts'

/** What decides what a call costs or where it goes, in any protocol. */
const decisive = new Set([
  ...['model', 'models', 'route', 'provider', 'preset', 'plugins', 'fallbacks', 'fallback_credit_token'],
  ...['stream', 'stream_options', 'n', 'best_of', 'echo', 'suffix', 'modalities'],
  ...['max_tokens', 'max_completion_tokens', 'max_output_tokens', 'thinking', 'reasoning', 'reasoning_effort'],
  ...['messages', 'input', 'prompt', 'system', 'instructions', 'tools', 'functions'],
  ...['service_tier', 'speed', 'inference_geo', 'billing_policy', 'compaction', 'context_management'],
  ...['web_search_options', 'search_parameters', 'enable_search', 'mcp_servers', 'container'],
  ...['store', 'background', 'previous_response_id', 'conversation', 'thread'],
])

/**
 * The first top-level member that differs from a decisive one in its case alone. Servers written in Go take it for that
 * one, and the last of two counts: what they are asked then is not what is held and charged.
 */
export function findSpeltOtherwise(names: Iterable<string>): RequestProblem | undefined {
  for (const name of names) {
    if (name.length > NAME_CHARS_MAX || decisive.has(name)) continue
    // Upper case first: a long s and the sign of Kelvin are folded too.
    const folded = name.toUpperCase().toLowerCase()
    if (decisive.has(folded)) return { path: name, message: `must be written as ${folded}` }
  }
  return undefined
}

const NAME_CHARS_MAX = 64
