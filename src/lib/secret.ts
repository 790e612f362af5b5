import { inspect } from 'node:util'

const REDACTED = '[secret]'

/** Text that must not be printed: every way of turning it into text gives a placeholder. Read it with reveal(). */
export class Secret {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}
