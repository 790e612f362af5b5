import type { Member } from '#lib/json-members.ts'
import type { Attachments, TokenCount } from './count-tokens.ts'
import type { Loss } from './neutral.ts'
import type { Protocol } from './protocol.ts'

/** Why a body is refused: `path` says where, as in `messages[2].content`. */
export interface RequestProblem {
  path: string
  message: string
}

/** What the gateway must know of a request for text in any protocol; everything else passes through untouched. */
export interface TextRequest {
  protocol: Protocol
  /** The body as it came, and where its top-level members stand. */
  text: string
  members: Map<string, Member>
  body: Record<string, unknown>
  model: string
  stream: boolean
  /** Whether the client asked to see usage in the stream, or its protocol always tells it. */
  includeUsage: boolean
  streamOptions: Record<string, unknown>
  /** The caller's own limit on the answer, in tokens. */
  maxTokens: number | undefined
  /** The members that say so: where several stand, they say the same. */
  maxTokensMembers: readonly string[]
  /** Answers asked for. */
  choices: number
  attachments: Attachments
  audioOutput: boolean
  /** Members of what came in another protocol that this one cannot say. */
  losses?: readonly Loss[]
  /** Tokens of the prompt by our own count. Costs time: asked for only when no provider says. */
  countPrompt(): TokenCount
}

export function isProblem(request: object): request is RequestProblem {
  return 'path' in request && 'message' in request
}
