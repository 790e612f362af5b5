import type { Db } from '#db/pool.ts'
import { createPersonDeletion, type PersonDeletion } from '#domain/people/delete-person.ts'
import type { DeletionPart } from '#domain/people/deletion.ts'
import type { Parts } from './parts.ts'

const SWEEP_MS = 30_000

/** Deletes accounts, with the parts that others contribute: subscriptions at the payment provider, sign-ins elsewhere. */
export function openDeletion({ log, opened }: Parts, db: Db, parts: readonly DeletionPart[]): PersonDeletion {
  const deletion = createPersonDeletion({
    ...{ db, parts, everyMs: SWEEP_MS },
    onError: (error, user) =>
      log.error({ err: error, user }, 'an account could not be deleted yet; trying again later'),
  })
  opened.defer(() => deletion.close())
  return deletion
}
