import { type Usage, validateUsage } from '#billing/usage.ts'

/** A count of characters that a vendor reports; undefined for what cannot be one. */
export function reportedCharacters(value: unknown): Usage | undefined {
  return valid({ characters: value })
}

/** The `usage` of OpenAI's `speech.audio.done`: text in, audio out. */
export function reportedTokens(value: unknown): Usage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { input_tokens: input, output_tokens: output } = value as Record<string, unknown>
  return valid({ input, audio_output: output })
}

function valid(counts: Record<string, unknown>): Usage | undefined {
  for (const count of Object.values(counts)) if (typeof count !== 'number') return undefined
  const usage = counts as Usage
  return validateUsage(usage).ok ? usage : undefined
}
