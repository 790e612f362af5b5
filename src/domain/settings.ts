import { parseDecimal } from '#lib/decimal.ts'
import { nearNames } from '#lib/near-names.ts'
import { AppError } from '#src/errors.ts'
import { rateLimitProblem } from './limits/rate-limit.ts'
import { parseLocales } from './router/parse-model.ts'
import {
  at,
  createProblems,
  nameRule,
  type Problems,
  readEntries,
  readFreeObject,
  readList,
  readText,
  type TextRule,
} from './router/read-json.ts'
import type { ConfigProblem } from './router/router-document.ts'
import { type DefaultedSetting, type SettingName, type SettingValues, settingDefaults } from './setting-values.ts'
import { parseStreamingUpstream, parseUnspeechUpstream } from './streaming-upstream.ts'

/** Fractions of a Flux have this many decimal places at most, so that they are exact. */
const FLUX_DECIMALS_MAX = 6

const FLUX_MAX = 1_000_000
const PAYMENT_METHODS_MAX = 64
const VOICE_MODELS_MAX = 1_000
const OPTIONS_CHARS_MAX = 16_384

const productRule: TextRule = { pattern: /^[\w-]{1,255}$/, meaning: 'the id of a Stripe product' }
const methodRule: TextRule = { pattern: /^[a-z0-9_]{1,64}$/, meaning: 'the name of a payment method, as in card' }

type Check = (value: unknown, path: string, problems: Problems) => void

/** What each setting may be. */
const checks: Readonly<Record<SettingName, Check>> = {
  FLUX_PER_REQUEST: flux({ zero: true }),
  INITIAL_USER_FLUX: integer(0, FLUX_MAX),
  FLUX_PER_1K_TOKENS: flux({ zero: false }),
  FLUX_PER_1K_CHARS_TTS: flux({ zero: false }),
  TTS_DEBT_TTL_SECONDS: integer(1, 31_536_000),
  AUTH_RATE_LIMIT_MAX: integer(1, 1_000_000),
  AUTH_RATE_LIMIT_WINDOW_SEC: integer(1, 86_400),
  RATE_LIMIT_KEY: rateLimit,
  RATE_LIMIT_USER: rateLimit,
  RATE_LIMIT_PROJECT: rateLimit,
  PEOPLE_CREATE_PROJECTS(value, path, problems) {
    if (typeof value !== 'boolean') problems.add(path, 'must be true or false')
  },
  STRIPE_FLUX_PRODUCT_ID: text(productRule),
  STRIPE_PAYMENT_METHODS(value, path, problems) {
    for (const [index, method] of readList(value, path, { min: 0, max: PAYMENT_METHODS_MAX }, problems).entries())
      text(methodRule)(method, at(path, index), problems)
  },
  STRIPE_PAYMENT_METHOD_OPTIONS: (value, path, problems) => readFreeObject(value, path, OPTIONS_CHARS_MAX, problems),
  DEFAULT_TTS_VOICES(value, path, problems) {
    for (const [model, voices] of readEntries(value, path, VOICE_MODELS_MAX, problems)) {
      if (!nameRule.pattern.test(model)) problems.add(at(path, model), `must be named with ${nameRule.meaning}`)
      parseLocales(voices, at(path, model), problems)
    }
  },
  DEFAULT_CHAT_MODEL: text(nameRule),
  DEFAULT_TTS_MODEL: text(nameRule),
  STREAMING_TTS_UPSTREAM: parseStreamingUpstream,
  UNSPEECH_UPSTREAM: parseUnspeechUpstream,
}

export const settingNames = Object.keys(checks) as SettingName[]

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(checks, name)
}

/** What is wrong with a value; nothing for one that can be used. The value is JSON. */
export function settingProblems(name: string, value: unknown): readonly ConfigProblem[] {
  const problems = createProblems()
  if (isSettingName(name)) checks[name](value, name, problems)
  else {
    const near = nearNames(name, settingNames, 1)[0]
    problems.add(at('', name), `is not a setting${near === undefined ? '' : `; did you mean '${near}'?`}`)
  }
  return problems.list
}

/** The settings as they are at one moment. */
export interface Settings {
  /** The value, or its default. Throws AppError: config_invalid, config_unavailable. */
  get<Name extends DefaultedSetting>(name: Name): SettingValues[Name]
  /** The value, or its default, or undefined. Throws AppError: config_invalid, config_unavailable. */
  getOptional<Name extends SettingName>(name: Name): SettingValues[Name] | undefined
  /** The value, or its default. Throws AppError: config_not_set, config_invalid, config_unavailable. */
  getOrThrow<Name extends SettingName>(name: Name): SettingValues[Name]
  /** What an operator has set, without defaults; undefined also for what cannot be used. Never throws. */
  stored<Name extends SettingName>(name: Name): SettingValues[Name] | undefined
}

/** Values by name, `invalid` where one is stored that this release cannot use; undefined when nothing could be read yet. */
export type StoredSettings = ReadonlyMap<string, { value: unknown } | 'invalid'>

export function createSettings(stored: StoredSettings | undefined): Settings {
  function read<Name extends SettingName>(name: Name): SettingValues[Name] | undefined {
    if (stored === undefined) throw new AppError('config_unavailable', { details: { key: name } })
    const found = stored.get(name)
    if (found === 'invalid') throw new AppError('config_invalid', { details: { key: name } })
    // The values of this map have been checked with settingProblems.
    if (found !== undefined) return found.value as SettingValues[Name]
    const defaults: Partial<SettingValues> = settingDefaults
    return defaults[name]
  }

  function getOrThrow<Name extends SettingName>(name: Name): SettingValues[Name] {
    const value = read(name)
    if (value === undefined) throw new AppError('config_not_set', { details: { key: name } })
    return value
  }

  return {
    get: getOrThrow,
    getOptional: read,
    getOrThrow,
    stored<Name extends SettingName>(name: Name) {
      const found = stored?.get(name)
      return found === undefined || found === 'invalid' ? undefined : (found.value as SettingValues[Name])
    },
  }
}

function flux(options: { zero: boolean }): Check {
  return (value, path, problems) => {
    const exact = typeof value === 'number' ? parseDecimal(String(value), FLUX_DECIMALS_MAX) : undefined
    if (exact !== undefined && Number(value) <= FLUX_MAX && (exact > 0n || options.zero)) return
    const least = options.zero ? 'from 0' : 'above 0 and up'
    problems.add(path, `must be a number ${least} to ${FLUX_MAX} with at most ${FLUX_DECIMALS_MAX} decimal places`)
  }
}

function integer(min: number, max: number): Check {
  return (value, path, problems) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return
    problems.add(path, `must be an integer from ${min} to ${max}`)
  }
}

function rateLimit(value: unknown, path: string, problems: Problems): void {
  const problem = rateLimitProblem(value)
  if (problem !== undefined) problems.add(path, `must ${problem}`)
}

function text(rule: TextRule): Check {
  return (value, path, problems) => {
    if (value === undefined) problems.add(path, 'is missing')
    else readText(value, path, rule, problems)
  }
}
