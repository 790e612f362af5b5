import type { Refusal } from './refusal.ts'

/** Whose manners a protocol has when it is not about answers: OpenAI's or Anthropic's. */
export interface Vendor {
  /** The response header that names the exchange. */
  requestIdHeader: string
  /** The body of an error, as JSON text. */
  errorBody(refusal: Refusal, requestId: string): string
  /** What the vendor says with a status when nobody told the simulator what to say. */
  defaultRefusal(status: number, headers?: string[]): Refusal
  /** The refusals that switches ask for, in the vendor's own words. */
  contextLength(promptTokens: number): Refusal
  contentFilter(): Refusal
  prefill(): Refusal
}

/** The type of an error's body. */
export function contentTypeOf(refusal: Refusal): string {
  return refusal.page === undefined ? 'application/json' : 'text/html'
}
