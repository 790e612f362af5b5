import { topLevelMembers, withMembers } from '#lib/json-members.ts'
import { isAbsent, isObject } from './json-values.ts'
import {
  findNonNumber,
  findUnpricedMember,
  isCount,
  parseRequestHead,
  problem,
  type RequestHead,
} from './request-head.ts'
import { countInputs, readTextInputs } from './text-inputs.ts'
import { isProblem, type RequestProblem, type TextRequest } from './text-request.ts'

/** What the gateway must know of a request of the legacy protocol, in which a text is continued. */
export interface CompletionsRequest extends TextRequest {
  protocol: 'completions'
  maxTokensMembers: readonly ['max_tokens']
}

const CHOICES_MAX = 2_048
/** Where the caller names no limit. Providers that would go on without one are told this one. */
const MAX_TOKENS_DEFAULT = 16

/** Strict on what the gateway reads, silent on what it does not. Throws SyntaxError for text that is not JSON. */
export function parseCompletionsRequest(text: string): CompletionsRequest | RequestProblem {
  const head = parseRequestHead(text)
  if (isProblem(head)) return head
  const { body, stream } = head
  const inputs = readTextInputs(body.prompt, 'prompt', CHOICES_MAX)
  if (isProblem(inputs)) return inputs
  const wrong =
    findUnpricedMember(body) ?? findNonNumber(body, ['temperature', 'top_p', 'presence_penalty', 'frequency_penalty'])
  if (wrong !== undefined) return wrong

  const streamOptions = body.stream_options ?? {}
  if (!isObject(streamOptions)) return problem('stream_options', 'must be an object')
  if (!isAbsent(body.stream_options) && !stream) return problem('stream_options', 'is only allowed when stream is true')
  const includeUsage = streamOptions.include_usage ?? false
  if (typeof includeUsage !== 'boolean') return problem('stream_options.include_usage', 'must be a boolean')

  const n = body.n ?? 1
  if (!isCount(n)) return problem('n', 'must be an integer of at least 1')
  const bestOf = body.best_of ?? n
  if (!isCount(bestOf) || bestOf < n) return problem('best_of', 'must be an integer of at least n')
  if (stream && bestOf > n) return problem('best_of', 'must equal n in a stream')
  // All that are made are charged, not only the best.
  const choices = bestOf * (inputs.texts.length + inputs.tokenCounts.length)
  if (choices > CHOICES_MAX) return problem('n', `must make at most ${CHOICES_MAX} choices of all texts together`)
  if (!isAbsent(body.echo) && typeof body.echo !== 'boolean') return problem('echo', 'must be a boolean')
  if (stream && body.echo === true)
    return problem('echo', 'must be false in a stream: what is repeated cannot be told from what is generated')
  if (!isAbsent(body.suffix) && typeof body.suffix !== 'string') return problem('suffix', 'must be a string')
  const maxTokens = body.max_tokens ?? MAX_TOKENS_DEFAULT
  if (!isCount(maxTokens) && maxTokens !== 0) return problem('max_tokens', 'must be an integer of at least 0')

  const more = typeof body.suffix === 'string' ? [body.suffix] : []
  return {
    ...head,
    ...limited(text, head, maxTokens),
    protocol: 'completions',
    includeUsage,
    streamOptions,
    maxTokens,
    maxTokensMembers: ['max_tokens'],
    choices,
    attachments: { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 0 },
    audioOutput: false,
    countPrompt: () => countInputs(inputs, more),
  }
}

function limited(text: string, { body, members }: RequestHead, maxTokens: number) {
  if (!isAbsent(body.max_tokens)) return { text, members }
  const changed = withMembers(text, members, { max_tokens: String(maxTokens) })
  const found = topLevelMembers(changed)
  return { text: changed, members: found instanceof Map ? found : members }
}
