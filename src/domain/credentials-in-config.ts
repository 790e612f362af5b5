import { type Credentials, providerKeyProblem } from './credentials.ts'
import { type ConfigProblem, surfaces } from './router/router-document.ts'

/** The model name that the keys of speech over WebSocket are sealed for. */
export const STREAMING_TTS = 'streaming-tts'

/** Shown in place of a ciphertext; sent back, it means the one that is stored. */
const PLACEHOLDER = /^<ciphertext: \d+ chars>$/

type Members = Record<string, unknown>

/** One entry of a `keys` list, wherever it stands. */
export interface KeyPlace {
  path: string
  modelName: string
  entry: Members
}

/** Every key of a router config, in any state: nothing is known yet of its shape. */
export function keyPlacesOfConfig(config: unknown): KeyPlace[] {
  return surfaces.flatMap((surface) => {
    const models = membersOf(membersOf(membersOf(config)?.[surface])?.models)
    return Object.entries(models ?? {}).flatMap(([modelName, model]) =>
      listOf(membersOf(model)?.upstreams).flatMap((upstream, index) =>
        keyPlaces(`${surface}.models[${JSON.stringify(modelName)}].upstreams[${index}]`, modelName, upstream),
      ),
    )
  })
}

/** Every key of settings, by their names; most settings have none. */
export function keyPlacesOfSettings(values: Readonly<Record<string, unknown>>): KeyPlace[] {
  return [
    ...keyPlaces('STREAMING_TTS_UPSTREAM', STREAMING_TTS, values.STREAMING_TTS_UPSTREAM),
    ...keyPlaces('UNSPEECH_UPSTREAM.streaming', STREAMING_TTS, membersOf(values.UNSPEECH_UPSTREAM)?.streaming),
  ]
}

/**
 * Seals every `plaintextKey` in place, so that `config` may be stored, and checks that envelopes which are not stored already
 * open. A key that is stored with the same content keeps its envelope. `stored` are the places of what holds now.
 */
export function sealKeys(
  credentials: Credentials,
  places: readonly KeyPlace[],
  stored: readonly KeyPlace[],
): ConfigProblem[] {
  const kept = new Map<string, string[]>()
  for (const { modelName, entry } of stored) {
    if (typeof entry.ciphertext !== 'string') continue
    const envelopes = kept.get(`${modelName}|${entry.id}`)
    if (envelopes === undefined) kept.set(`${modelName}|${entry.id}`, [entry.ciphertext])
    else envelopes.push(entry.ciphertext)
  }
  return places.flatMap(({ path, modelName, entry }) => {
    const { id, plaintextKey } = entry
    // Taken out first: whatever is wrong with the rest, it must not reach what is compared, shown or stored.
    delete entry.plaintextKey
    const problem = (member: string, message: string) => [{ path: `${path}.${member}`, message }]
    if (typeof id !== 'string' || id === '' || id.includes('|'))
      return problem('id', "must be text that is not empty and has no '|'")
    const there = kept.get(`${modelName}|${id}`) ?? []
    const { ciphertext } = entry
    if (plaintextKey === undefined) {
      if (typeof ciphertext !== 'string' || PLACEHOLDER.test(ciphertext) || there.includes(ciphertext)) return []
      const reason = credentials.whyClosed(modelName, id, ciphertext)
      return reason === undefined ? [] : problem('ciphertext', reason)
    }
    if (typeof plaintextKey !== 'string') return problem('plaintextKey', 'must be text')
    if (ciphertext !== undefined && !PLACEHOLDER.test(String(ciphertext)))
      return problem('plaintextKey', 'stands beside a ciphertext: give one of them')
    const wrong = providerKeyProblem(plaintextKey)
    if (wrong !== undefined) return problem('plaintextKey', wrong)
    entry.ciphertext =
      there.find((envelope) => credentials.holds(modelName, id, envelope, plaintextKey)) ??
      credentials.seal(modelName, id, plaintextKey)
    return []
  })
}

export interface Resealing {
  /** Paths of keys that were sealed anew. */
  resealed: string[]
  /** Paths of keys that the current master key seals already. */
  kept: string[]
  /** Keys that no master key of this process opens, and why. They are left as they are. */
  closed: ConfigProblem[]
}

/** Seals in place, with the current master key, what the previous one sealed. */
export function resealKeys(credentials: Credentials, places: readonly KeyPlace[]): Resealing {
  const done: Resealing = { resealed: [], kept: [], closed: [] }
  done.closed.push(...closedKeys(credentials, places))
  const closed = new Set(done.closed.map(({ path }) => path))
  for (const { path, modelName, entry } of places) {
    const { id, ciphertext } = entry
    if (typeof id !== 'string' || typeof ciphertext !== 'string' || closed.has(path)) continue
    const fresh = credentials.reseal(modelName, id, ciphertext)
    if (fresh !== undefined) entry.ciphertext = fresh
    done[fresh === undefined ? 'kept' : 'resealed'].push(path)
  }
  return done
}

/** The keys that no master key of this process opens, and why. */
export function closedKeys(credentials: Credentials, places: readonly KeyPlace[]): ConfigProblem[] {
  return places.flatMap(({ path, modelName, entry: { id, ciphertext } }) => {
    if (typeof id !== 'string' || typeof ciphertext !== 'string') return []
    const message = credentials.whyClosed(modelName, id, ciphertext)
    return message === undefined ? [] : [{ path, message }]
  })
}

/** A copy to be shown: every ciphertext as `<ciphertext: N chars>`, wherever it stands. Sent back, it means the stored one. */
export function redactKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactKeys)
  const members = membersOf(value)
  if (members === undefined) return value
  return Object.fromEntries(
    Object.entries(members).flatMap(([name, member]) => {
      if (name === 'plaintextKey') return []
      if (name === 'ciphertext') return [[name, `<ciphertext: ${String(member).length} chars>`]]
      return [[name, redactKeys(member)]]
    }),
  )
}

function keyPlaces(at: string, modelName: string, holder: unknown): KeyPlace[] {
  return listOf(membersOf(holder)?.keys).flatMap((value, index) => {
    const entry = membersOf(value)
    return entry === undefined ? [] : [{ path: `${at}.keys[${index}]`, modelName, entry }]
  })
}

function membersOf(value: unknown): Members | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : undefined
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}
