import type { Price } from '#billing/price.ts'

/** The surface on which a model answers. */
export const endpoints = [
  'chat',
  'responses',
  'completion',
  'embedding',
  'speech',
  'transcription',
  'realtime',
  'images',
] as const
export type Endpoint = (typeof endpoints)[number]

export interface PriceBookEntry {
  readonly provider: string
  /** As the provider knows it; `*` stands for every model of the provider that has no entry of its own. */
  readonly model: string
  readonly aliases: readonly string[]
  /** Completed: every fallback is already a line. */
  readonly price: Price
  /**
   * `maxOutputTokens` bounds an answer. `maxInputTokens` is, for some models, only the room beside the longest answer:
   * show it, but do not cut a hold to it. An absent limit is unknown, not unlimited.
   */
  readonly limits: { readonly maxInputTokens?: number; readonly maxOutputTokens?: number }
  /** Bills tokens that the client never sees, so a hold must cover the worst case. */
  readonly reasoning: boolean
  readonly streaming: boolean
  /** False once the provider has retired the model; its price stays for old receipts. */
  readonly active: boolean
  readonly endpoint: Endpoint
}
