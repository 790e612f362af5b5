import { nearNames } from '#lib/near-names.ts'
import type { ConfigProblem, JsonObject } from './router-document.ts'

/** More are not worth reading. */
const PROBLEMS_MAX = 100
const NAME_CHARS_SHOWN = 100

/** Collects what is wrong. Every reader below reports here and returns undefined for what it cannot use. */
export interface Problems {
  readonly list: readonly ConfigProblem[]
  add(path: string, message: string): undefined
}

export function createProblems(): Problems {
  const list: ConfigProblem[] = []
  return {
    list,
    add(path, message) {
      if (list.length < PROBLEMS_MAX) list.push({ path, message })
      return undefined
    },
  }
}

/** `llm.models["gpt-4.1"].upstreams[0]`. */
export function at(path: string, member: string | number): string {
  if (typeof member === 'number') return `${path}[${member}]`
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(member)) return path === '' ? member : `${path}.${member}`
  return `${path}[${JSON.stringify(shown(member))}]`
}

/** A name as it may stand in a message: whoever chose it, it stays short. */
function shown(name: string): string {
  return name.length > NAME_CHARS_SHOWN ? `${name.slice(0, NAME_CHARS_SHOWN)}…` : name
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The own member of an object, so that `constructor` is a name like any other. */
export function own(fields: JsonObject, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined
}

/** An object with no members but the known ones. */
export function readObject(
  value: unknown,
  path: string,
  known: readonly string[],
  problems: Problems,
): JsonObject | undefined {
  if (!isObject(value)) return problems.add(path, 'must be an object')
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    const near = nearNames(name, known, 1)[0]
    problems.add(at(path, name), `is not known here${near === undefined ? '' : `; did you mean '${near}'?`}`)
  }
  return value
}

/** The entries of an object whose names are free. */
export function readEntries(
  value: unknown,
  path: string,
  entriesMax: number,
  problems: Problems,
): (readonly [name: string, value: unknown])[] {
  if (!isObject(value)) return problems.add(path, 'must be an object') ?? []
  const entries = Object.entries(value)
  if (entries.length > entriesMax) return problems.add(path, `must have at most ${entriesMax} members`) ?? []
  return entries
}

export function readList(
  value: unknown,
  path: string,
  length: { min: number; max: number },
  problems: Problems,
): readonly unknown[] {
  if (!Array.isArray(value)) return problems.add(path, 'must be a list') ?? []
  if (value.length < length.min || value.length > length.max)
    return problems.add(path, `must have ${length.min} to ${length.max} members`) ?? []
  return value
}

export function readInteger(
  fields: JsonObject,
  name: string,
  path: string,
  range: { min: number; max: number },
  problems: Problems,
): number | undefined {
  const value = own(fields, name)
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= range.min && value <= range.max) return value
  return problems.add(at(path, name), `must be an integer from ${range.min} to ${range.max}`)
}

export function readFlag(fields: JsonObject, name: string, path: string, problems: Problems): boolean | undefined {
  const value = own(fields, name)
  if (value === undefined || typeof value === 'boolean') return value
  return problems.add(at(path, name), 'must be true or false')
}

export interface TextRule {
  pattern: RegExp
  /** Completes "must be …". */
  meaning: string
}

/** A name that people choose: `|` separates the parts of what an envelope is tied to. */
export const nameRule: TextRule = {
  pattern: /^(?!\s)[^|\p{Cc}\p{Cs}]{1,255}(?<!\s)$/u,
  meaning: "1 to 255 characters, without '|', control characters, or space at its ends",
}

export function readText(value: unknown, path: string, rule: TextRule, problems: Problems): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && rule.pattern.test(value)) return value
  return problems.add(path, `must be ${rule.meaning}`)
}

export function readOneOf<const T extends string>(
  value: unknown,
  path: string,
  known: readonly T[],
  problems: Problems,
): T | undefined {
  if (value === undefined) return undefined
  const found = known.find((name) => name === value)
  if (found !== undefined) return found
  const near = typeof value === 'string' ? nearNames(value, known, 1)[0] : undefined
  return problems.add(
    path,
    near === undefined ? `must be one of ${known.join(', ')}` : `is not known; did you mean '${near}'?`,
  )
}

/** Free JSON for somebody else to read, of bounded size. */
export function readFreeObject(value: unknown, path: string, charsMax: number, problems: Problems): void {
  if (value === undefined) return
  if (!isObject(value)) problems.add(path, 'must be an object')
  else if (JSON.stringify(value).length > charsMax) problems.add(path, `must be at most ${charsMax} characters of JSON`)
}
