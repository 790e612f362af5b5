import type { Fields } from './json-fields.ts'
import { openai } from './openai-vendor.ts'
import { eventStream, jsonBody, type Protocol } from './protocol.ts'
import type { Refusal } from './refusal.ts'
import { failedResponse, renderResponse, renderResponseEvents } from './responses-render.ts'
import { parseResponsesRequest, type ResponsesRequest } from './responses-request.ts'
import { composeText, type TextAnswer } from './text-request.ts'

export interface ResponsesAnswer extends TextAnswer {
  settings: Fields
  encryptedReasoning: boolean
  obfuscation: boolean
}

/** OpenAI's responses. */
export const responses: Protocol<ResponsesRequest, ResponsesAnswer> = {
  name: 'responses',
  idPrefix: 'resp_',
  vendor: openai,
  parse: parseResponsesRequest,
  compose(request) {
    const { settings, encryptedReasoning, obfuscation } = request
    return { ...composeText(request), settings, encryptedReasoning, obfuscation }
  },
  carriage: ({ stream }) => (stream ? eventStream : jsonBody),
  body: renderResponse,
  chunks: renderResponseEvents,
  failedBody: ({ refusal, answer, identity }) => JSON.stringify(failedResponse(answer, identity, codeOf(refusal))),
  errorFrame({ refusal, answer, identity, framesSent }) {
    // Before anything else it is said plainly, afterwards by the response that ends.
    const members =
      framesSent === 0
        ? { type: 'error', sequence_number: 0, param: null, ...codeOf(refusal) }
        : {
            type: 'response.failed',
            sequence_number: framesSent,
            response: failedResponse(answer, identity, codeOf(refusal)),
          }
    return { event: members.type, data: JSON.stringify(members) }
  },
  brokenFrame: {
    event: 'response.output_text.delta',
    data: '{"type":"response.output_text.delta","sequence_number":4,"item_id":"ms',
  },
}

/** Errors inside of a response have no type: their code says everything. */
function codeOf({ error, verbatim }: Refusal): Fields {
  return verbatim ? { ...error } : { code: error.code ?? error.type, message: error.message }
}
