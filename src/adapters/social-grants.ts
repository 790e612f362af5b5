import { symmetricDecrypt } from 'better-auth/crypto'
import type { Secret } from '#lib/secret.ts'
import type { SocialProvider } from './better-auth.ts'

const TRIES = 2

/** Where each is told; of the companies themselves, unless a test has its own. */
const GRANT_URLS = {
  google: 'https://oauth2.googleapis.com/revoke',
  github: 'https://api.github.com/applications',
  apple: 'https://appleid.apple.com/auth/revoke',
} as const

/** What an account elsewhere has left here, encrypted by Better Auth. */
export interface StoredTokens {
  provider: string
  accessToken: string | null
  refreshToken: string | null
}

/** Takes back what people have allowed this gateway at Google, GitHub and Apple. */
export function createSocialGrants(options: {
  providers: readonly SocialProvider[]
  /** Of Better Auth: opens the tokens. */
  secret: Secret
  timeoutMs: number
  urls?: Record<SocialProvider['id'], string>
}) {
  const { providers, secret, timeoutMs, urls = GRANT_URLS } = options

  function requestOf({ id, clientId, clientSecret }: SocialProvider, token: string, hint: string): Request {
    const signal = AbortSignal.timeout(timeoutMs)
    if (id === 'github')
      return new Request(`${urls.github}/${encodeURIComponent(clientId)}/grant`, {
        ...{ method: 'DELETE', redirect: 'error', signal, body: JSON.stringify({ access_token: token }) },
        headers: {
          authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret.reveal()}`).toString('base64')}`,
          accept: 'application/vnd.github+json',
          'content-type': 'application/json',
          'user-agent': 'fluxgate',
        },
      })
    const client = { client_id: clientId, client_secret: clientSecret.reveal(), token_type_hint: hint }
    const body = new URLSearchParams({ token, ...(id === 'apple' && client) })
    return new Request(urls[id], { ...{ method: 'POST', redirect: 'error', signal, body } })
  }

  return {
    /**
     * False when there is nothing to take back: no token, or a provider that is not configured any more. A token that is not
     * known there any more is taken back already. Throws Error without the token.
     */
    async revoke({ provider: id, accessToken, refreshToken }: StoredTokens): Promise<boolean> {
      const provider = providers.find((candidate) => candidate.id === id)
      // The longer-lived of the two takes the other along; GitHub has one alone.
      const isLong = refreshToken !== null && id !== 'github'
      const sealed = isLong ? refreshToken : accessToken
      if (provider === undefined || sealed === null) return false
      const token = await symmetricDecrypt({ key: secret.reveal(), data: sealed })
      const hint = isLong ? 'refresh_token' : 'access_token'
      for (let left = TRIES - 1; ; left -= 1) {
        const status = await fetch(requestOf(provider, token, hint)).then(
          async (response) => {
            await response.body?.cancel()
            return response.status
          },
          () => 0,
        )
        const isGone = [200, 204, 400, 404, 422].includes(status)
        if (isGone) return true
        if (left === 0) throw new Error(status === 0 ? `${id} did not answer` : `${id} answered ${status}`)
      }
    },
  }
}
