import { Secret } from './secret.ts'

/** How one environment variable is read; its description is also its documentation. */
export interface Setting<T> {
  description: string
  /** Returns the value, or throws an Error whose message completes "NAME must be …". */
  parse(text: string): T
  fallback: T
  /** How the default reads in a list of settings. */
  fallbackText: string
}

export function text(description: string, fallback: string): Setting<string> {
  return { description, fallback, fallbackText: fallback, parse: (value) => value }
}

export function optional<T>(setting: Omit<Setting<T>, 'fallback' | 'fallbackText'>): Setting<T | undefined> {
  return { ...setting, fallback: undefined, fallbackText: '–' }
}

export function secret(description: string): Setting<Secret | undefined> {
  return optional({ description, parse: (value) => new Secret(value) })
}

export function url(description: string, protocols: readonly string[]): Setting<string | undefined> {
  return optional({
    description,
    parse(value) {
      if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol))
        throw new Error(`a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`)
      return value
    },
  })
}

export function integer(description: string, fallback: number, range: { min: number; max: number }): Setting<number> {
  return {
    description,
    fallback,
    fallbackText: String(fallback),
    parse(value) {
      const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
      if (!(number >= range.min && number <= range.max)) throw new Error(`an integer from ${range.min} to ${range.max}`)
      return number
    },
  }
}

export function oneOf<const T extends string>(
  description: string,
  fallback: NoInfer<T>,
  values: readonly T[],
): Setting<T> {
  return {
    description,
    fallback,
    fallbackText: fallback,
    parse(value) {
      const found = values.find((candidate) => candidate === value)
      if (found === undefined) throw new Error(`one of ${values.join(', ')}`)
      return found
    },
  }
}

type Values<S> = { [Name in keyof S]: S[Name] extends Setting<infer T> ? T : never }

/**
 * Reads all settings at once. Throws one Error that names every problem; never repeats a value, which may be a secret.
 * `check` finds what is wrong with values together.
 */
export function readSettings<S extends Record<string, Setting<unknown>>>(
  settings: S,
  env: Record<string, string | undefined>,
  check: (values: Values<S>) => readonly string[] = () => [],
): Values<S> {
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(settings)) {
    const given = env[name]
    values[name] = setting.fallback
    if (given === undefined || given === '') continue
    try {
      values[name] = setting.parse(given)
    } catch (error) {
      problems.push(`${name} must be ${(error as Error).message}`)
    }
  }
  problems.push(...check(values as Values<S>))
  if (problems.length > 0) throw new Error(`The configuration cannot be used:\n- ${problems.join('\n- ')}`)
  return values as Values<S>
}
