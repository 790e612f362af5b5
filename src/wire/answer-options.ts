/** What a translated answer takes from the call where its provider does not say. */
export interface AnswerOptions {
  /** 32 hex digits. */
  id: string
  /** Unix seconds. */
  created: number
  request: { model: string }
}
