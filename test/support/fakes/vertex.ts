import { createVerify, generateKeyPairSync } from 'node:crypto'
import { type CloudAnswer, type CloudRequest, chatAnswer, createCloudServer } from './cloud-server.ts'

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
const EMAIL = 'gateway@my-project.iam.gserviceaccount.com'
const CHAT = '/v1/projects/my-project/locations/europe-west4/endpoints/openapi/chat/completions'

/** Vertex AI's OpenAI endpoint of one project and location, and the address that gives out its tokens. */
export async function createVertex(options: { now: () => number }) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const tokens = new Set<string>()
  let issued = 0
  let tokenAnswer: CloudAnswer | 'silence' | undefined
  const server = await createCloudServer((request) => {
    if (request.url === '/token') return tokenAnswer === 'silence' ? undefined : (tokenAnswer ?? grant(request))
    if (request.url !== CHAT || request.method !== 'POST') return { status: 404, body: 'Not Found' }
    if (!tokens.has(request.headers.authorization ?? ''))
      return {
        status: 401,
        body: [{ error: { code: 401, message: 'Request had invalid credentials.', status: 'UNAUTHENTICATED' } }],
      }
    if (!String(JSON.parse(request.body).model).startsWith('google/'))
      return { status: 400, body: [{ error: { code: 400, message: 'Malformed model.', status: 'INVALID_ARGUMENT' } }] }
    return chatAnswer(request)
  })

  function grant(request: CloudRequest): CloudAnswer {
    const form = new URLSearchParams(request.body)
    const [head = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.')
    const genuine = createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(publicKey, signature, 'base64url')
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
    const { iss, aud, scope, iat, exp } = genuine ? read(claims) : {}
    const nowS = options.now() / 1000
    const allowed =
      genuine &&
      form.get('grant_type') === 'urn:ietf:params:oauth:grant-type:jwt-bearer' &&
      read(head).alg === 'RS256' &&
      iss === EMAIL &&
      scope === SCOPE &&
      aud === `${server.url}/token` &&
      Math.abs(iat - nowS) < 60 &&
      exp - iat === 3600
    if (!allowed) return { status: 400, body: { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' } }
    issued++
    tokens.add(`Bearer ya29.${issued}`)
    return { status: 200, body: { access_token: `ya29.${issued}`, expires_in: 3600, token_type: 'Bearer' } }
  }

  return {
    ...server,
    tokenUrl: `${server.url}/token`,
    baseUrl: `${server.url}/v1/projects/my-project/locations/europe-west4/endpoints/openapi`,
    tokenRequests: () => server.requests.filter(({ url }) => url === '/token').length,
    /** A key file as Google's console gives it out, but for these members. */
    serviceAccountKey(changed: Record<string, unknown> = {}): string {
      const key = { type: 'service_account', project_id: 'my-project', private_key_id: 'k1', private_key: privateKey }
      return JSON.stringify({ ...key, client_email: EMAIL, token_uri: `${server.url}/token`, ...changed }, null, 2)
    },
    /** All tokens given out so far are no good any more. */
    revokeTokens(): void {
      tokens.clear()
    },
    answerTokensWith(answer: CloudAnswer | 'silence' | undefined): void {
      tokenAnswer = answer
    },
  }
}
