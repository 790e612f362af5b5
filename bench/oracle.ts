import type { OracleTotals } from '#simulator/oracle.ts'

/** Tokens that the simulator delivered, by its own count; only `sim/echo` is called here. */
export interface DeliveredTokens {
  calls: number
  promptTokens: number
  completionTokens: number
  /** Calls that did not end well: their price is a matter of policy, so a run has none. */
  broken: number
}

export const nothingDelivered: DeliveredTokens = { calls: 0, promptTokens: 0, completionTokens: 0, broken: 0 }

export async function readDelivered(simulatorUrl: string): Promise<DeliveredTokens & { open: number }> {
  const { all } = (await (await fetch(`${simulatorUrl}/oracle/totals`)).json()) as { all: OracleTotals }
  return {
    calls: all.finished.calls,
    promptTokens: all.finished.promptTokens,
    completionTokens: all.finished.completionTokens,
    broken: all.cut.calls + all.failed,
    open: all.open,
  }
}

/** What was delivered between two readings. */
export function deliveredBetween(before: DeliveredTokens, after: DeliveredTokens): DeliveredTokens {
  return {
    calls: after.calls - before.calls,
    promptTokens: after.promptTokens - before.promptTokens,
    completionTokens: after.completionTokens - before.completionTokens,
    broken: after.broken - before.broken,
  }
}

export function addDelivered(a: DeliveredTokens, b: DeliveredTokens): DeliveredTokens {
  return {
    calls: a.calls + b.calls,
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    broken: a.broken + b.broken,
  }
}
