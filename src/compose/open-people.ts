import type { Db } from '#db/pool.ts'
import { createFluxGrants } from '#domain/flux/flux-grants.ts'
import { createFluxHistory } from '#domain/flux/flux-history.ts'
import { createGrantReversals } from '#domain/flux/reverse-grants.ts'
import type { Grants } from '#domain/grants.ts'
import { createPersonalProjects } from '#domain/people/personal-project.ts'
import { createUsers } from '#domain/people/users.ts'
import type { Settings } from '#domain/settings.ts'
import type { Parts } from './parts.ts'

interface Below {
  db: Db
  grants: Grants
  slot: { current(): { slot: number; epoch: bigint } }
  settings: () => Settings
}

/** People and their Flux. */
export function openPeople({ config, installation }: Parts, { db, grants, slot, settings }: Below) {
  const fluxNanousd = BigInt(config.FLUX_NANOUSD)
  const users = createUsers({ db })
  const personalProjects = createPersonalProjects({
    ...{ db, grants, settings, fluxNanousd },
    digestKey: installation.authSecret,
  })
  return {
    users,
    personalProjects,
    fluxHistory: createFluxHistory({ db }),
    fluxGrants: createFluxGrants({ ...{ db, grants, users, fluxNanousd }, openProject: personalProjects.open }),
    grantReversals: createGrantReversals({ db, slot }),
  }
}
