import { hash } from 'node:crypto'
import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

/** The name of the registry of all providers; each provider has one of its own beside it. */
export const WHOLE = '*'

/** One content that the registry had, under its number. */
export interface RegistryVersion {
  name: string
  version: number
  /** Of what it was made from. */
  updatedAt: Date
  /** Canonical JSON of an object. */
  content: string
}

const ATTEMPTS_MAX = 100
const VERSION_MAX = 2_147_483_647

/** Numbers the contents of registries, for ever: the same content has the same number on every gateway. */
export function createRegistryVersions({ db }: { db: Db }) {
  async function byDigest(name: string, digest: Buffer): Promise<RegistryVersion | undefined> {
    const { rows } = await db.query<RegistryVersion>(
      'select name, version, updated_at as "updatedAt", content from registry_version where name = $1 and digest = $2',
      [name, digest],
    )
    return rows[0]
  }

  return {
    /** The number of this content, which is the next one when it is new. `updatedAt` is kept with a new one. */
    async record(name: string, content: string, updatedAt: Date): Promise<RegistryVersion> {
      const digest = hash('sha256', content, 'buffer')
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
        const known = await byDigest(name, digest)
        if (known !== undefined) return known
        // Another gateway may take the number or record the content in between: then it is looked up again.
        await db.query(
          `insert into registry_version (name, version, digest, content, updated_at)
           select $1, coalesce(max(version), 0) + 1, $2, $3, $4 from registry_version where name = $1
           on conflict do nothing`,
          [name, digest, content, updatedAt],
        )
      }
      assert(false, 'a number is taken by others once, not a hundred times')
    },

    /** Undefined for a number that was never given. */
    async find(name: string, version: number): Promise<RegistryVersion | undefined> {
      if (!Number.isSafeInteger(version) || version < 1 || version > VERSION_MAX) return undefined
      const { rows } = await db.query<RegistryVersion>(
        'select name, version, updated_at as "updatedAt", content from registry_version where name = $1 and version = $2',
        [name, version],
      )
      return rows[0]
    },
  }
}

export type RegistryVersions = ReturnType<typeof createRegistryVersions>
