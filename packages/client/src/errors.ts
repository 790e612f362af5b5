/** What is wrong with a lockfile, and where: `at` reads like `profiles.prod.bindings[0].models`. */
export interface Problem {
  severity: 'error' | 'warning'
  at: string
  message: string
}

export type LockfileErrorCode =
  | 'lockfile_missing'
  | 'lockfile_unreadable'
  | 'lockfile_too_large'
  | 'lockfile_syntax'
  | 'lockfile_invalid'
  | 'lockfile_exists'
  | 'extends_missing'
  | 'extends_itself'

/** A lockfile that cannot be found, read, understood or written. */
export class LockfileError extends Error {
  override readonly name = 'LockfileError'
  readonly code: LockfileErrorCode
  /** Path of the file, where there is one. */
  readonly file: string | undefined
  /** Every problem that was found, for `lockfile_invalid`. */
  readonly problems: readonly Problem[]

  constructor(
    code: LockfileErrorCode,
    message: string,
    options: { file?: string | undefined; problems?: readonly Problem[]; cause?: unknown } = {},
  ) {
    super(options.file === undefined ? message : `${options.file}: ${message}`, { cause: options.cause })
    this.code = code
    this.file = options.file
    this.problems = options.problems ?? []
  }
}

export type ResolutionErrorCode =
  | 'alias_unknown'
  | 'alias_invalid'
  | 'namespace_unknown'
  | 'providers_unavailable'
  | 'label_invalid'

/** A name that does not lead to a model. */
export class ResolutionError extends Error {
  override readonly name = 'ResolutionError'
  readonly code: ResolutionErrorCode
  /** What was asked for. */
  readonly asked: string
  readonly profile: string | undefined

  constructor(code: ResolutionErrorCode, asked: string, message: string, profile?: string) {
    super(message)
    this.code = code
    this.asked = asked
    this.profile = profile
  }
}
