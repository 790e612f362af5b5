/** What the simulator's own reasoning is signed with. */
const PREFIX = 'RmxTaW0'

/** What stands for hidden or shown reasoning when it comes back: an opaque text, longer for more reasoning. */
export function sealReasoning(serial: string, reasoningTokens: number): string {
  const text = `${serial}.${reasoningTokens}.`.padEnd(48 + Math.min(reasoningTokens, 1024), 'flux')
  return PREFIX + Buffer.from(text).toString('base64')
}

/** Whether the simulator signed it, any instance of it. */
export function isOwnSeal(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith(PREFIX)
}
