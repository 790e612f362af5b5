import type { Problem } from './errors.ts'
import { own } from './lock-value.ts'
import { ALIAS_CHARS_MAX, type Binding, LOCKFILE_VERSION, type Lockfile, type Profile } from './lockfile.ts'
import { isKnownProvider, parseModelRef } from './model-ref.ts'

const PACKAGE_NAME = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i
const INVISIBLE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u

/**
 * Everything about a lockfile that will not work (`error`) or that hardly anybody means (`warning`). An empty list is a good file. Files
 * and packages that it extends are not opened.
 */
export function checkLockfile(lockfile: Lockfile): Problem[] {
  return [...checkHead(lockfile), ...checkExtends(lockfile), ...checkProfiles(lockfile)]
}

function* checkHead(lockfile: Lockfile): Generator<Problem> {
  if (lockfile.version !== LOCKFILE_VERSION)
    yield warning('version', `is ${lockfile.version}; only ${LOCKFILE_VERSION} is known`)
  if (lockfile.createdAt === undefined || lockfile.updatedAt === undefined)
    yield warning('created_at', 'and updated_at are needed for a digest')
  if (own(lockfile.profiles, lockfile.defaultProfile) === undefined)
    yield warning('default_profile', `names a profile that is not there: ${lockfile.defaultProfile}`)
}

function* checkExtends({ extends: { packages, files } }: Lockfile): Generator<Problem> {
  const seen = new Set<string>()
  const namespaces = [
    ...packages.map((name, index) => ({ name, at: `extends.packages[${index}]` })),
    ...Object.keys(files).map((name) => ({ name, at: `extends.files.${name}` })),
  ]
  for (const { name, at } of namespaces) {
    if (!PACKAGE_NAME.test(name))
      yield error(at, 'must begin and end with a letter or digit and hold only those and . _ - between')
    if (isKnownProvider(name)) yield error(at, `is the name of a provider, so ${name}:… is always a model`)
    if (seen.has(name)) yield error(at, 'is there twice')
    seen.add(name)
  }
  for (const [name, path] of Object.entries(files)) {
    if (path === '') yield error(`extends.files.${name}`, 'is empty')
  }
}

function* checkProfiles(lockfile: Lockfile): Generator<Problem> {
  const { packages, files } = lockfile.extends
  const namespaces = new Set([...packages, ...Object.keys(files)])
  for (const [key, profile] of Object.entries(lockfile.profiles)) {
    const at = `profiles.${key}`
    if (key.trim() === '') yield error(at, 'has no name')
    if (profile.name !== key) yield warning(`${at}.name`, `is ${profile.name}; the profile is found as ${key}`)
    yield* checkPins(profile, at)
    const seen = new Set<string>()
    for (const [index, binding] of profile.bindings.entries()) {
      const place = `${at}.bindings[${index}]`
      yield* checkAlias(binding.alias, `${place}.alias`, namespaces)
      if (seen.has(binding.alias))
        yield error(`${place}.alias`, `${binding.alias} is bound before; this one is never used`)
      seen.add(binding.alias)
      yield* checkPool(binding, place)
    }
  }
}

function* checkPins(profile: Profile, at: string): Generator<Problem> {
  for (const [provider, version] of Object.entries(profile.registryVersions)) {
    if (version < 1) yield error(`${at}.registry_versions.${provider}`, 'must be 1 or more')
  }
}

function* checkAlias(alias: string, at: string, namespaces: ReadonlySet<string>): Generator<Problem> {
  const wrong = aliasProblem(alias)
  if (wrong !== undefined) yield error(at, wrong)
  const namespace = parseModelRef(alias)?.provider
  if (namespace === undefined) {
    if (alias.includes(':')) yield error(at, 'has nothing on one side of the colon')
  } else if (isKnownProvider(namespace)) {
    yield error(at, `begins with the name of a provider, so it is always taken as a model`)
  } else if (!namespaces.has(namespace)) {
    yield warning(at, `overrides an alias of ${namespace}, which this lockfile does not extend`)
  }
}

function* checkPool({ models }: Binding, at: string): Generator<Problem> {
  if (models.length === 0) yield error(`${at}.models`, 'is empty')
  const seen = new Set<string>()
  for (const [index, model] of models.entries()) {
    const place = `${at}.models[${index}]`
    if (parseModelRef(model) === undefined) yield error(place, `must read provider:model, not ${JSON.stringify(model)}`)
    else if (model.includes(',')) yield error(place, 'holds a comma: each model is an entry of its own')
    else if (model.trim() !== model) yield error(place, 'begins or ends with white space')
    if (seen.has(model)) yield warning(place, `${model} is there twice`)
    seen.add(model)
  }
}

/** What is wrong with an alias, apart from where it leads. */
export function aliasProblem(alias: string): string | undefined {
  if (alias.trim() === '') return 'is empty'
  if (alias.trim() !== alias) return 'begins or ends with white space'
  if ([...alias].length > ALIAS_CHARS_MAX) return `is longer than ${ALIAS_CHARS_MAX} characters`
  if (INVISIBLE.test(alias)) return 'holds control characters or what turns the direction of text'
  return undefined
}

function error(at: string, message: string): Problem {
  return { severity: 'error', at, message }
}

function warning(at: string, message: string): Problem {
  return { severity: 'warning', at, message }
}
