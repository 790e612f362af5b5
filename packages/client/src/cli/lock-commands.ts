import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { checkLockfile } from '../check-lockfile.ts'
import { checkDrift, type Drift, parseRegistryDocument, type RegistryDocument } from '../drift.ts'
import { FluxgateError, LockfileError, type Problem } from '../errors.ts'
import type { GatewayApi } from '../http/gateway-api.ts'
import { lockDigest } from '../lock-digest.ts'
import { own } from '../lock-value.ts'
import { createLockfile, listAliases } from '../lockfile.ts'
import { findLockfile } from '../node/find-lockfile.ts'
import { type LoadedLockfiles, loadLockfiles } from '../node/load-lockfiles.ts'
import { loadLockfile, saveLockfile } from '../node/lockfile-file.ts'
import { profileOf } from '../resolve.ts'
import { openGatewayApi } from './open-gateway-api.ts'
import type { Arguments, Deps } from './run-cli.ts'

const REGISTRY_FILES_MAX = 64

export async function lockInit(args: Arguments, deps: Deps): Promise<number> {
  const path = resolve(deps.cwd, args.file || deps.env.LLMRING_LOCKFILE_PATH || 'llmring.lock')
  await saveLockfile(path, createLockfile(deps.now()), { isNew: !args.isForced })
  await deps.out(`wrote ${path}\n`)
  return 0
}

export async function lockValidate(args: Arguments, deps: Deps): Promise<number> {
  const path = findLockfile({ path: args.file, env: deps.env, cwd: deps.cwd })
  const lockfile = await readable(() => loadLockfile(path))
  const problems = lockfile instanceof LockfileError ? problemsOf(lockfile) : checkLockfile(lockfile)
  const digest = lockfile instanceof LockfileError ? undefined : await lockDigest(lockfile)
  if (args.isJson) await deps.out(`${JSON.stringify({ file: path, digest, problems }, null, 2)}\n`)
  else await deps.out(`${path}\n${printProblems(problems)}${digest === undefined ? '' : `digest ${digest}\n`}`)
  return hasError(problems) ? 1 : 0
}

export async function lockCheck(args: Arguments, deps: Deps): Promise<number> {
  const path = findLockfile({ path: args.file, env: deps.env, cwd: deps.cwd })
  const files = {
    current: await readRegistry(args.registry, deps.cwd),
    pinned: await readRegistry(args.pinnedRegistry, deps.cwd),
  }
  const loaded = await readable(() => loadLockfiles(path))
  if (loaded instanceof LockfileError) {
    const problems = problemsOf(loaded)
    await deps.out(
      args.isJson ? `${JSON.stringify({ file: path, problems }, null, 2)}\n` : `${path}\n${printProblems(problems)}`,
    )
    return 1
  }
  const profile = profileOf(loaded.lockfile, { profile: args.profile, env: deps.env })
  const problems = [...checkLockfile(loaded.lockfile), ...checkExtended(loaded)]
  const pins = own(loaded.lockfile.profiles, profile)?.registryVersions ?? {}
  const documents = args.isServer
    ? await fetchRegistry(openGatewayApi(args, deps, { isPublic: true }), pins, files)
    : files
  const { drifts, unchecked } = checkDrift(loaded.lockfile, profile, documents)
  const extended = [...loaded.paths].flatMap(([namespace, file]) => {
    const source = loaded.extended.get(namespace)
    return source === undefined || source instanceof LockfileError
      ? []
      : [{ namespace, file, aliases: listAliases(source, profileOf(source, { profile: args.profile, env: deps.env })) }]
  })
  if (args.isJson)
    await deps.out(`${JSON.stringify({ file: path, profile, problems, extended, drifts, unchecked }, null, 2)}\n`)
  else {
    await deps.out(`${path}, profile ${profile}\n`)
    for (const { namespace, file, aliases } of extended)
      await deps.out(`extends ${namespace} (${file}): ${aliases.length === 0 ? 'no aliases' : aliases.join(', ')}\n`)
    await deps.out(printProblems(problems))
    for (const drift of drifts) await deps.out(printDrift(drift))
    if ((args.registry.length > 0 || args.isServer) && unchecked.length > 0)
      await deps.out(`no registry file for ${unchecked.join(', ')}\n`)
  }
  return hasError(problems) || drifts.some(({ hasDrift }) => hasDrift) ? 1 : 0
}

function* checkExtended({ extended, paths }: LoadedLockfiles): Generator<Problem> {
  for (const [namespace, source] of extended) {
    const at = `extends ${namespace}`
    if (source instanceof LockfileError) {
      yield { severity: 'error', at, message: source.message }
      continue
    }
    for (const problem of checkLockfile(source)) yield { ...problem, at: `${paths.get(namespace)}: ${problem.at}` }
    if (source.extends.packages.length + Object.keys(source.extends.files).length > 0)
      yield { severity: 'warning', at, message: 'extends others in turn, which is not followed' }
  }
}

interface Documents {
  current: RegistryDocument[]
  pinned: RegistryDocument[]
}

/** The documents of the gateway for what is pinned, beside those of files. A provider or version that it does not have is left out. */
async function fetchRegistry(
  api: GatewayApi,
  pins: Readonly<Record<string, number>>,
  files: Documents,
): Promise<Documents> {
  const documents = { current: [...files.current], pinned: [...files.pinned] }
  for (const [provider, version] of Object.entries(pins)) {
    const current = await fetched(() => api.registry(provider))
    const pinned = await fetched(() => api.registry(provider, version))
    if (current !== undefined) documents.current.push(current)
    if (pinned !== undefined) documents.pinned.push(pinned)
  }
  return documents
}

async function fetched(ask: () => Promise<unknown>): Promise<RegistryDocument | undefined> {
  try {
    return parseRegistryDocument(await ask())
  } catch (error) {
    if (error instanceof FluxgateError && error.status === 404) return undefined
    throw error
  }
}

async function readRegistry(files: readonly string[], cwd: string): Promise<RegistryDocument[]> {
  if (files.length > REGISTRY_FILES_MAX) throw new TypeError(`at most ${REGISTRY_FILES_MAX} registry files are read`)
  const documents: RegistryDocument[] = []
  for (const file of files) {
    const path = resolve(cwd, file)
    try {
      documents.push(parseRegistryDocument(JSON.parse(await readFile(path, 'utf8'))))
    } catch (cause) {
      throw new TypeError(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
  return documents
}

/** A lockfile that cannot be read is what these commands are there to report. */
async function readable<T>(load: () => Promise<T>): Promise<T | LockfileError> {
  try {
    return await load()
  } catch (error) {
    if (error instanceof LockfileError) return error
    throw error
  }
}

function problemsOf(error: LockfileError): readonly Problem[] {
  return error.problems.length > 0 ? error.problems : [{ severity: 'error', at: error.code, message: error.message }]
}

function printProblems(problems: readonly Problem[]): string {
  if (problems.length === 0) return 'no problems\n'
  return problems.map(({ severity, at, message }) => `${severity}: ${at} ${message}\n`).join('')
}

function printDrift({ provider, pinnedVersion, currentVersion, hasDrift, changes }: Drift): string {
  if (!hasDrift) return `${provider}: version ${pinnedVersion} is current\n`
  const head = `${provider}: pinned to version ${pinnedVersion}, current is ${currentVersion}\n`
  if (changes === undefined) return head
  const prices = changes.prices.map(
    ({ model, price, pinned, current }) => `  ${model} ${price}: ${pinned ?? 'none'} -> ${current ?? 'none'}\n`,
  )
  return [
    head,
    ...changes.addedModels.map((model) => `  added ${model}\n`),
    ...changes.removedModels.map((model) => `  removed ${model}\n`),
    ...prices,
  ].join('')
}

function hasError(problems: readonly Problem[]): boolean {
  return problems.some(({ severity }) => severity === 'error')
}
