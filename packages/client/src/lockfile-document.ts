import type { LockTable } from './lock-value.ts'
import type { Lockfile } from './lockfile.ts'

/**
 * A lockfile as the members of its file, in llmring's order. `form` decides what llmring does not know: the digest leaves it out, a file
 * keeps it. A binding without constraints says so in the digest and in JSON; TOML has no null.
 */
export function lockfileDocument(lockfile: Lockfile, form: 'digest' | 'json' | 'toml'): LockTable {
  const rest = (members: LockTable) => (form === 'digest' ? {} : members)
  const { createdAt, updatedAt, extends: extended } = lockfile
  const profiles = Object.entries(lockfile.profiles).map(([key, profile]) => {
    const bindings = profile.bindings.map(({ alias, models, constraints, rest: others }) => ({
      alias,
      models,
      ...(constraints === null && form === 'toml' ? {} : { constraints }),
      ...rest(others),
    }))
    const pins = Object.entries(profile.registryVersions).map(([provider, version]) => [provider, BigInt(version)])
    return [
      key,
      { name: profile.name, bindings, registry_versions: Object.fromEntries(pins), ...rest(profile.rest) },
    ] as const
  })
  const files = form === 'digest' || Object.keys(extended.files).length === 0 ? {} : { files: extended.files }
  return {
    version: lockfile.version,
    ...(createdAt === undefined ? {} : { created_at: createdAt }),
    ...(updatedAt === undefined ? {} : { updated_at: updatedAt }),
    profiles: Object.fromEntries(profiles),
    default_profile: lockfile.defaultProfile,
    extends: { packages: extended.packages, ...files, ...rest(extended.rest) },
    metadata: lockfile.metadata,
    ...rest(lockfile.rest),
  }
}
