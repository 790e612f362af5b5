/** What an operator may want to count of people, under AIRI's names. No prompts, no names, no addresses. */
interface ProductEvent {
  event:
    | 'user_signed_up'
    | 'session_started'
    | 'payment_completed'
    | 'subscription_cancelled'
    | 'llm_request_succeeded'
    | 'llm_request_failed'
  userId: string
  properties?: Readonly<Record<string, string | number | boolean>>
}

/** Notes an event, as far as there is room. Returns at once, never throws, and whether it arrives nobody waits for. */
export type Capture = (event: ProductEvent) => void
