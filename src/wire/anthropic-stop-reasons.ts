import type { Finish } from './neutral.ts'

/** Why a message ended. What nobody knows yet is an ordinary end. */
export function finishOfStopReason(reason: unknown): Finish {
  switch (reason) {
    case 'max_tokens':
    case 'model_context_window_exceeded':
      return 'length'
    case 'tool_use':
      return 'tool_calls'
    case 'pause_turn':
      return 'pause'
    case 'refusal':
      return 'refusal'
  }
  return 'stop'
}

const reasons: Readonly<Record<Finish, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  refusal: 'refusal',
  content_filter: 'refusal',
  pause: 'pause_turn',
}

export function stopReasonOf(finish: Finish): string {
  return reasons[finish]
}
