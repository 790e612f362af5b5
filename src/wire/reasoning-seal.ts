import { decodeBase64Url } from '#lib/base64.ts'
import { asText, isObject } from './json-values.ts'
import type { TextProtocol } from './neutral.ts'

/** What a provider must get back unchanged with a reasoning block. */
export interface ReasoningState {
  origin: TextProtocol
  id?: string
  signature?: string
  encrypted?: string
}

const PREFIX = 'fluxgate.'

/**
 * Reasoning that is shown in another protocol carries its state in that protocol's own opaque member, so that it comes
 * back with the history and finds its way to the protocol that made it. Not secret and not trusted: what is inside is
 * checked by the provider that made it.
 */
export function sealReasoning(state: ReasoningState): string {
  const { origin, ...rest } = state
  return `${PREFIX}${origin}.${Buffer.from(JSON.stringify(rest)).toString('base64url')}`
}

/** What `sealReasoning` wrote; undefined for anything else, such as a provider's own signature. */
export function openReasoning(text: string): ReasoningState | undefined {
  const found = /^fluxgate\.(chat|responses|messages)\.([\w-]*)$/.exec(text)
  const bytes = found?.[2] === undefined ? undefined : decodeBase64Url(found[2])
  if (bytes === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
  if (!isObject(value)) return undefined
  const id = asText(value.id)
  const signature = asText(value.signature)
  const encrypted = asText(value.encrypted)
  return {
    origin: found?.[1] as TextProtocol,
    ...(id !== undefined && { id }),
    ...(signature !== undefined && { signature }),
    ...(encrypted !== undefined && { encrypted }),
  }
}
