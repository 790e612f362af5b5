/** What one switch accepts. `expects` completes the sentence "must be …". */
export interface Rule<T> {
  readonly expects: string
  accepts(value: unknown): value is T
}

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number): Rule<number> {
  return {
    expects: `a whole number from ${min} to ${max}`,
    accepts: (value): value is number =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max,
  }
}

/** A switch that is on or absent; `false` is accepted and means off. */
export const yes: Rule<boolean> = {
  expects: 'true or false',
  accepts: (value): value is boolean => typeof value === 'boolean',
}

/** One of a few words. */
export function oneOf<const Word extends string>(...words: Word[]): Rule<Word> {
  return {
    expects: `one of ${words.join(', ')}`,
    accepts: (value): value is Word => words.some((word) => word === value),
  }
}

/** A string of 1 to `lengthMax` characters. */
export function text(lengthMax: number): Rule<string> {
  return {
    expects: `a string of 1 to ${lengthMax} characters`,
    accepts: (value): value is string => typeof value === 'string' && value !== '' && value.length <= lengthMax,
  }
}

/** A string that may stand in an HTTP header. */
export function headerText(lengthMax: number): Rule<string> {
  return {
    expects: `1 to ${lengthMax} visible ASCII characters or spaces`,
    accepts: (value): value is string =>
      typeof value === 'string' && value.length <= lengthMax && /^[\x20-\x7e]+$/.test(value),
  }
}

export const object: Rule<Record<string, unknown>> = {
  expects: 'an object',
  accepts: (value): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value),
}
