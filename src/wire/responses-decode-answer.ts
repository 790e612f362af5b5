import { asText, isAbsent, isObject, type JsonObject, objectsOf, textAt } from './json-values.ts'
import type { Finish, NeutralAnswer, Part } from './neutral.ts'
import { reportedUsage } from './neutral-usage.ts'
import { WireError } from './protocol.ts'
import { decodeReasoning } from './responses-decode-part.ts'
import { decodeResponsesUsage } from './responses-usage.ts'

/** Reads a whole response. Throws WireError. */
export function decodeResponsesAnswer(body: unknown): NeutralAnswer {
  if (!isObject(body) || !Array.isArray(body.output)) throw new WireError('a response without output')
  if (!isAbsent(body.error) || body.status === 'failed') throw new WireError('the provider reports a failure')
  const parts = objectsOf(body.output).flatMap(decodeItem)
  const finish = finishOf(body, {
    calls: parts.some(({ type }) => type === 'tool_call'),
    refused: parts.some(({ type }) => type === 'refusal'),
  })
  return {
    id: textAt(body, 'id'),
    model: textAt(body, 'model'),
    parts,
    finish,
    ...reportedUsage(decodeResponsesUsage(body.usage)),
  }
}

/** Why a response ended: its status says so in part, its output the rest. */
export function finishOf(response: JsonObject, { calls, refused }: { calls: boolean; refused: boolean }): Finish {
  if (response.status === 'incomplete' || isObject(response.incomplete_details)) {
    const { reason } = isObject(response.incomplete_details) ? response.incomplete_details : {}
    return reason === 'content_filter' ? 'content_filter' : 'length'
  }
  if (calls) return 'tool_calls'
  return refused ? 'refusal' : 'stop'
}

/** Items that nobody asked for, as those of the provider's own tools, are not told. */
function decodeItem(item: JsonObject): Part[] {
  switch (item.type) {
    case 'message':
      return objectsOf(item.content).flatMap((part): Part[] => {
        if (part.type === 'refusal') return [{ type: 'refusal', text: textAt(part, 'refusal') }]
        return textAt(part, 'text') === '' ? [] : [{ type: 'text', text: textAt(part, 'text') }]
      })
    case 'reasoning':
      return decodeReasoning(item)
    case 'function_call': {
      const id = asText(item.call_id)
      const name = asText(item.name)
      if (id === undefined || name === undefined) throw new WireError('a call without an id or a name')
      return [{ type: 'tool_call', id, name, arguments: textAt(item, 'arguments') }]
    }
    case 'custom_tool_call':
      throw new WireError('a call of a custom tool has no counterpart')
    default:
      return []
  }
}
