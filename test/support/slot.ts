import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

/** A writer slot of the test's own, in the shape that the domain functions expect. */
export async function claimTestSlot(
  db: Db,
  instance = 'test',
): Promise<{ current(): { slot: number; epoch: bigint } }> {
  const { rows } = await db.query<{ slot: number; epoch: bigint }>(
    `select slot, epoch from claim_slot($1, interval '1 hour')`,
    [instance],
  )
  const [slot] = rows
  assert(slot !== undefined, 'claim_slot returns a slot')
  return { current: () => slot }
}
