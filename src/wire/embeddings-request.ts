import { isAbsent } from './json-values.ts'
import { findUnpricedMember, isCount, parseRequestHead, problem } from './request-head.ts'
import { countInputs, readTextInputs } from './text-inputs.ts'
import { isProblem, type RequestProblem, type TextRequest } from './text-request.ts'

/** What the gateway must know of a request for embeddings. Nothing is generated, so its answer holds no tokens. */
export interface EmbeddingsRequest extends TextRequest {
  protocol: 'embeddings'
  stream: false
  maxTokens: 0
}

/** As OpenAI limits them. */
const INPUTS_MAX = 2_048

/** Strict on what the gateway reads, silent on what it does not. Throws SyntaxError for text that is not JSON. */
export function parseEmbeddingsRequest(text: string): EmbeddingsRequest | RequestProblem {
  const head = parseRequestHead(text)
  if (isProblem(head)) return head
  const { body } = head
  if (head.stream) return problem('stream', 'must be false: embeddings come whole')
  const inputs = readTextInputs(body.input, 'input', INPUTS_MAX)
  if (isProblem(inputs)) return inputs
  const { encoding_format } = body
  if (!isAbsent(encoding_format) && encoding_format !== 'float' && encoding_format !== 'base64')
    return problem('encoding_format', 'must be float or base64')
  if (!isAbsent(body.dimensions) && !isCount(body.dimensions))
    return problem('dimensions', 'must be an integer of at least 1')
  const unpriced = findUnpricedMember(body)
  if (unpriced !== undefined) return unpriced
  return {
    ...head,
    text,
    protocol: 'embeddings',
    stream: false,
    includeUsage: true,
    streamOptions: {},
    maxTokens: 0,
    maxTokensMembers: [],
    choices: 1,
    attachments: { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 0 },
    audioOutput: false,
    countPrompt: () => countInputs(inputs),
  }
}
