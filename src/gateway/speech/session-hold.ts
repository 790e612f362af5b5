import { upperBoundOf } from '#billing/price.ts'
import type { PricedTarget } from '#domain/call-context.ts'
import { extendHold, type MeteredCall } from '#gateway/call.ts'
import type { Gateway } from '#gateway/gateway.ts'
import { GivenUpError } from '#lib/group-commit.ts'

/** Characters that a hold grows by at once, so that not every frame is a commit. */
const TRANCHE_CHARACTERS = 500

/** What so many characters cost at most, wherever the session is served. In nano-dollars. */
export function nanosOfCharacters(targets: readonly Pick<PricedTarget, 'price'>[], characters: number): bigint {
  return targets.reduce((most, { price }) => {
    const nanos = upperBoundOf({ characters, ...(price.lines.calls !== undefined && { calls: 1 }) }, price)
    return nanos > most ? nanos : most
  }, 0n)
}

/** Keeps the hold of a session ahead of what is sent: nothing goes to a vendor that is not covered. */
export function createSessionHold(gateway: Gateway, call: MeteredCall) {
  return {
    /** Asks for cover of `characters` in all, of which `sent` have gone to the vendor. */
    async cover(characters: number, sent: number): Promise<'held' | 'insufficient' | 'lost' | 'away'> {
      const needed = nanosOfCharacters(call.context.targets, characters)
      if (needed <= call.held) return 'held'
      const progress = {
        accrued: nanosOfCharacters(call.context.targets, sent),
        accruedUsage: JSON.stringify({ usage: { characters: sent }, target: 0 }),
      }
      try {
        const wanted = nanosOfCharacters(call.context.targets, characters + TRANCHE_CHARACTERS)
        if ((await extendHold(gateway, call, { nanos: wanted, ...progress })) === 'lost') return 'lost'
      } catch (error) {
        if (error instanceof GivenUpError) return 'away'
        throw error
      }
      return needed <= call.held ? 'held' : 'insufficient'
    },
  }
}
