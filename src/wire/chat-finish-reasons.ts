import type { Finish } from './neutral.ts'

/**
 * Why a chat answer ended. Providers say `stop` also where tools are called, and clients act on the reason alone, so the
 * content has the last word.
 */
export function finishOfReason(reason: unknown, said: { toolCalls: boolean; refusal: boolean }): Finish {
  if (reason === 'length' || reason === 'max_tokens') return 'length'
  if (reason === 'content_filter') return 'content_filter'
  if (said.toolCalls) return 'tool_calls'
  return said.refusal ? 'refusal' : 'stop'
}

/** A refusal in words of its own is an ordinary end; one without is what chat calls a filter. */
export function finishReasonOf(finish: Finish, said: { refusal: boolean }): string {
  switch (finish) {
    case 'stop':
    case 'length':
    case 'tool_calls':
    case 'content_filter':
      return finish
    case 'refusal':
      return said.refusal ? 'stop' : 'content_filter'
    case 'pause':
      return 'stop'
  }
}
