import { refuse, type SpeechInput, type SpeechRefusal } from './speech-format.ts'

/** Reading of what several vendors' requests have in common. */

/** A non-empty string, or undefined. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Speech of nothing is refused before anybody is asked. */
export function checkText(spoken: string): SpeechRefusal | undefined {
  return /[^\s\p{Cc}]/u.test(spoken) ? undefined : refuse('input', 'must hold something to say')
}

export function checkSpeed(speed: number | undefined, min: number, max: number): SpeechRefusal | undefined {
  return speed === undefined || (speed >= min && speed <= max)
    ? undefined
    : refuse('speed', `must be from ${min} to ${max} for this model`)
}

/** The client's own setting, or else the operator's. */
export function option(input: SpeechInput, params: Readonly<Record<string, unknown>>, name: string): unknown {
  return input.extra?.[name] ?? params[name]
}

/** Refuses members of `extra_body` that the vendor's format has no place for. */
export function checkExtra(
  extra: Readonly<Record<string, unknown>> | undefined,
  known: readonly string[],
  path = 'extra_body',
): SpeechRefusal | undefined {
  for (const name of Object.keys(extra ?? {}))
    if (!known.includes(name)) return refuse(`${path}.${name.slice(0, 60)}`, 'is not supported for this model')
  return undefined
}

/** `base` with `path` behind it, unless it ends so already; a query stays where it belongs. */
export function joinUrl(base: string, path: string): string {
  const url = new URL(base)
  const trimmed = url.pathname.replace(/\/+$/, '')
  url.pathname = trimmed.endsWith(path) ? trimmed : trimmed + path
  return url.href
}

export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** The format's headers, with the operator's in their place. Names in lower case. */
export function withHeaders(own: Record<string, string>, extra: Readonly<Record<string, string>>) {
  const headers = { ...own }
  for (const [name, value] of Object.entries(extra)) headers[name.toLowerCase()] = value
  return headers
}
