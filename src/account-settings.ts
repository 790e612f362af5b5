import type { SocialProvider } from '#adapters/better-auth.ts'
import { parseProxyTrust } from '#lib/client-address.ts'
import type { Secret } from '#lib/secret.ts'
import { optional, type Setting, secret, url } from '#lib/settings.ts'

const ORIGINS_MAX = 100
const SECRET_CHARS = { min: 32, max: 500 }

/** Accounts of people: docs/accounts.md. */
export const accountSettings = {
  BETTER_AUTH_SECRET: authSecret(),
  API_SERVER_URL: optional({
    description:
      'Where clients reach this gateway, as https://api.example: what links in mails begin with. Required for accounts with DATABASE_URL.',
    parse: parseOrigin,
  }),
  ADDITIONAL_TRUSTED_ORIGINS: optional({
    description:
      'Origins of pages that may sign people in and act for them by their cookies, beside the own one, separated by commas.',
    parse(value) {
      const origins = value.split(',').map((origin) => parseTrusted(origin.trim()))
      if (origins.length > ORIGINS_MAX) throw new Error(`at most ${ORIGINS_MAX} origins`)
      return origins
    },
  }),
  RATE_LIMIT_TRUSTED_PROXY: optional({
    description:
      'Who says where a client is: a number of proxies in front of this gateway that add to `x-forwarded-for`, or `x-real-ip` where one sets that. The address of the connection when unset.',
    parse: parseProxyTrust,
  }),
  AUTH_GOOGLE_CLIENT_ID: secret('Signing in with Google, with AUTH_GOOGLE_CLIENT_SECRET.'),
  AUTH_GOOGLE_CLIENT_SECRET: secret('Beside AUTH_GOOGLE_CLIENT_ID.'),
  AUTH_GITHUB_CLIENT_ID: secret('Signing in with GitHub, with AUTH_GITHUB_CLIENT_SECRET.'),
  AUTH_GITHUB_CLIENT_SECRET: secret('Beside AUTH_GITHUB_CLIENT_ID.'),
  AUTH_APPLE_CLIENT_ID: secret('Signing in with Apple, with AUTH_APPLE_CLIENT_SECRET.'),
  AUTH_APPLE_CLIENT_SECRET: secret('Beside AUTH_APPLE_CLIENT_ID: the token that Apple takes for one.'),
  AUTH_APPLE_APP_BUNDLE_IDENTIFIER: optional({
    description: "Bundle of an app whose tokens of Apple's own sign-in are taken too.",
    parse(value) {
      if (!/^[\w.-]{1,200}$/.test(value)) throw new Error('a bundle identifier, as com.example.app')
      return value
    },
  }),
  AUTH_SERVER_URL: url('Another issuer whose tokens stand for people, as https://auth.example: docs/accounts.md.', [
    'https:',
    'http:',
  ]),
  AUTH_SERVER_INTERNAL_URL: url('Where its keys are fetched, if not at AUTH_SERVER_URL.', ['https:', 'http:']),
}

type Values = {
  [Name in keyof typeof accountSettings]: ReturnType<(typeof accountSettings)[Name]['parse']> | undefined
}

/** The ways to sign in elsewhere that are configured, and what is missing of those that are begun. */
export function readSocialProviders(values: Values): { found: SocialProvider[]; problems: string[] } {
  const found: SocialProvider[] = []
  const problems: string[] = []
  for (const id of ['google', 'github', 'apple'] as const) {
    const name = `AUTH_${id.toUpperCase() as Uppercase<typeof id>}` as const
    const [clientId, clientSecret] = [values[`${name}_CLIENT_ID`], values[`${name}_CLIENT_SECRET`]]
    if (clientId === undefined && clientSecret === undefined) continue
    if (clientId === undefined || clientSecret === undefined) {
      problems.push(`${name}_CLIENT_ID and ${name}_CLIENT_SECRET must be set together`)
      continue
    }
    const bundle = values.AUTH_APPLE_APP_BUNDLE_IDENTIFIER
    found.push({
      ...{ id, clientId: clientId.reveal(), clientSecret },
      ...(id === 'apple' && bundle !== undefined && { appBundleIdentifier: bundle }),
    })
  }
  return { found, problems }
}

/** What is wrong with them together. */
export function accountProblems(values: Values & { DATABASE_URL?: string | undefined }): string[] {
  if (
    values.DATABASE_URL === undefined ||
    values.BETTER_AUTH_SECRET === undefined ||
    values.API_SERVER_URL !== undefined
  )
    return []
  return ['API_SERVER_URL must be set where DATABASE_URL and BETTER_AUTH_SECRET are: links in mails begin with it']
}

function authSecret(): Setting<Secret | undefined> {
  const setting = secret(
    'Signs sessions of people and keys the digests of their addresses: at least 32 characters, the same for ever. Unset with DATABASE_URL: there are no accounts. Else made in DATA_DIR.',
  )
  return {
    ...setting,
    parse(value) {
      if (!/^[!-~]*$/.test(value) || value.length < SECRET_CHARS.min || value.length > SECRET_CHARS.max)
        throw new Error(`${SECRET_CHARS.min} to ${SECRET_CHARS.max} visible ASCII characters`)
      return setting.parse(value)
    },
  }
}

function parseOrigin(value: string): string {
  const parsed = URL.canParse(value) ? new URL(value) : undefined
  if (
    parsed === undefined ||
    !['http:', 'https:'].includes(parsed.protocol) ||
    parsed.origin !== value.replace(/\/$/, '')
  )
    throw new Error('an origin, as https://api.example')
  return parsed.origin
}

/** Also apps with a scheme of their own, such as capacitor://localhost. */
function parseTrusted(value: string): string {
  if (/^https?:/.test(value)) return parseOrigin(value)
  if (/^[a-z][a-z0-9.+-]{1,60}:\/\/[\w.-]{1,100}$/.test(value) && !/^(javascript|data|file|blob):/.test(value))
    return value
  throw new Error('a list of origins, as https://app.example,capacitor://localhost')
}
