import { bindAlias, unbindAlias } from '../bind.ts'
import { ResolutionError } from '../errors.ts'
import { own } from '../lock-value.ts'
import { findBinding } from '../lockfile.ts'
import { findLockfile } from '../node/find-lockfile.ts'
import { loadLockfiles } from '../node/load-lockfiles.ts'
import { loadLockfile, saveLockfile } from '../node/lockfile-file.ts'
import { profileOf, resolveModel } from '../resolve.ts'
import type { Arguments, Deps } from './run-cli.ts'

export async function alias(args: Arguments, deps: Deps): Promise<number> {
  const [name = ''] = args.words
  const path = findLockfile({ path: args.file, env: deps.env, cwd: deps.cwd })
  const lockfile = await loadLockfile(path)
  const profile = profileOf(lockfile, { profile: args.profile, env: deps.env })
  if (args.isRemoval) {
    const changed = unbindAlias(lockfile, name, { profile, now: deps.now() })
    if (changed === lockfile) throw notBound(name, profile)
    await saveLockfile(path, changed)
    await deps.out(`removed ${name} from profile ${profile}\n`)
    return 0
  }
  const asked = args.profile === undefined ? Object.keys(lockfile.profiles) : [args.profile]
  const found = asked.flatMap((key) => {
    const binding = findBinding(lockfile, key, name)
    return binding === undefined ? [] : [{ profile: key, models: binding.models }]
  })
  if (found.length === 0) throw notBound(name, asked.join(', '))
  if (args.isJson) await deps.out(`${JSON.stringify(found, null, 2)}\n`)
  else for (const { profile: key, models } of found) await deps.out(`${key}: ${models.join(', ')}\n`)
  return 0
}

export async function bind(args: Arguments, deps: Deps): Promise<number> {
  const [name = '', models = ''] = args.words
  const path = findLockfile({ path: args.file, env: deps.env, cwd: deps.cwd })
  const lockfile = await loadLockfile(path)
  const profile = profileOf(lockfile, { profile: args.profile, env: deps.env })
  const changed = bindAlias(lockfile, name, models, { profile, now: deps.now() })
  await saveLockfile(path, changed)
  await deps.out(`${profile}: ${name} is ${findBinding(changed, profile, name)?.models.join(', ')}\n`)
  return 0
}

export async function aliases(args: Arguments, deps: Deps): Promise<number> {
  const lockfile = await loadLockfile(findLockfile({ path: args.file, env: deps.env, cwd: deps.cwd }))
  const profile = profileOf(lockfile, { profile: args.profile, env: deps.env })
  const bindings =
    own(lockfile.profiles, profile)?.bindings.map(({ alias: name, models }) => ({ alias: name, models })) ?? []
  if (args.isJson) await deps.out(`${JSON.stringify({ profile, aliases: bindings }, null, 2)}\n`)
  else if (bindings.length === 0) await deps.out(`profile ${profile} has no aliases\n`)
  else for (const { alias: name, models } of bindings) await deps.out(`${name}: ${models.join(', ')}\n`)
  return 0
}

export async function resolve(args: Arguments, deps: Deps): Promise<number> {
  const [name = ''] = args.words
  const lockfiles = await loadLockfiles(findLockfile({ path: args.file, env: deps.env, cwd: deps.cwd }))
  const resolution = resolveModel(lockfiles, name, { profile: args.profile, env: deps.env })
  await deps.out(args.isJson ? `${JSON.stringify(resolution, null, 2)}\n` : `${resolution.pool.join('\n')}\n`)
  return 0
}

function notBound(name: string, profile: string): ResolutionError {
  return new ResolutionError(
    'alias_unknown',
    name,
    `alias ${JSON.stringify(name)} is not bound in profile ${profile}`,
    profile,
  )
}
