/** How a call ended, and so who pays: docs/who-pays.md. The number is what the database stores; never reuse one. */
export const outcomeNumbers = {
  complete: 1,
  void: 2,
  client_abort: 3,
  upstream_error: 4,
  gateway_lost: 5,
  cut_off: 6,
} as const

export type Outcome = keyof typeof outcomeNumbers
