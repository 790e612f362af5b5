import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createUpstreamAuth, UpstreamAuthError, type UpstreamAuthOptions } from '#adapters/upstream-auth.ts'
import { createUpstreamHttp } from '#adapters/upstream-http.ts'
import { authOf, presetParams, requestLine, resolvePreset } from '#domain/presets.ts'
import { createAzureOpenai } from '#test/support/fakes/azure-openai.ts'
import { createBedrock } from '#test/support/fakes/bedrock.ts'
import { createCloudServer } from '#test/support/fakes/cloud-server.ts'
import { createVertex } from '#test/support/fakes/vertex.ts'

const upstream = createUpstreamHttp({ connectionsMax: 16, connectTimeoutMs: 5_000 })
after(() => upstream.close())

interface Call {
  preset: string
  baseUrl: string
  credential: string | undefined
  model: string
  params?: Record<string, string>
  body?: Record<string, unknown>
}

/** One chat call the way the gateway makes it: address, credential, then the request over a pooled connection. */
async function call(auth: ReturnType<typeof createUpstreamAuth>, input: Call) {
  const preset = resolvePreset(input.preset)
  const params = presetParams(preset, input.params ?? {})
  const line = requestLine(preset, { baseUrl: input.baseUrl, protocol: 'chat', model: input.model, params })
  const body = JSON.stringify({ model: input.model, messages: [], ...input.body })
  const plain = { 'content-type': 'application/json', accept: 'application/json' }
  const added = await auth.headersFor(authOf(preset, 'chat'), input.credential, {
    ...line,
    headers: plain,
    body,
    params,
  })
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    let status = 0
    let text = ''
    upstream.post(
      { ...line, headers: { ...plain, ...added }, body },
      {
        onHeaders: (code) => {
          status = code
        },
        onBody: (chunk) => {
          text += chunk.toString()
        },
        onEnd: () => resolve({ status, text }),
        onFault: (fault, cause) => reject(new Error(fault, { cause })),
      },
    )
  })
}

function authenticator(options: Partial<UpstreamAuthOptions> = {}) {
  return createUpstreamAuth({ timeoutMs: 5_000, ...options })
}

function fault(kind: 'credential' | 'provider', secret = 'never') {
  return (error: unknown) => {
    assert(error instanceof UpstreamAuthError, String(error))
    assert.equal(error.fault, kind, error.message)
    assert(!error.message.includes(secret), 'an error repeats a secret')
    return true
  }
}

describe('Azure OpenAI', () => {
  const entra = { tenantId: '11111111-2222-3333-4444-555555555555', clientId: 'client', secret: 'entra-secret' }
  let azure: Awaited<ReturnType<typeof createAzureOpenai>>
  let auth: ReturnType<typeof createUpstreamAuth>
  before(async () => {
    azure = await createAzureOpenai({ deployments: ['my-gpt'], apiKey: 'azure-key', entra })
    auth = authenticator({ azureAuthorityHost: `${azure.url}/login/` })
  })
  after(() => Promise.all([azure.close(), auth.close()]))

  const common = () => ({ preset: 'azure-openai', baseUrl: azure.url, credential: 'azure-key', model: 'my-gpt' })
  const client = (changed = {}) =>
    JSON.stringify({ tenant_id: entra.tenantId, client_id: entra.clientId, client_secret: entra.secret, ...changed })

  test('the v1 API takes the key in its own header', async () => {
    const { status, text } = await call(auth, { ...common(), baseUrl: `${azure.url}/openai/v1/` })
    assert.equal(status, 200)
    assert.equal(JSON.parse(text).usage.total_tokens, 11)
    assert.equal(azure.requests.at(-1)?.url, '/openai/v1/chat/completions')
    assert.equal(azure.requests.at(-1)?.headers.authorization, undefined)
  })

  test('the dated API has the deployment in its path and streams with usage', async () => {
    const { status, text } = await call(auth, {
      ...common(),
      preset: 'azure-openai-dated',
      params: { apiVersion: '2024-10-21' },
      body: { stream: true, stream_options: { include_usage: true } },
    })
    assert.equal(status, 200)
    assert.match(text, /"total_tokens":11/)
    assert.equal(azure.requests.at(-1)?.url, '/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21')
  })

  test('an Entra client gets a token once and uses it twice', async () => {
    const statuses = [
      (await call(auth, { ...common(), credential: client() })).status,
      (await call(auth, { ...common(), credential: client() })).status,
    ]
    assert.deepEqual(statuses, [200, 200])
    assert.equal(azure.requests.filter(({ url }) => url.startsWith('/login/')).length, 1)
    assert.equal(azure.requests.at(-1)?.headers.authorization, 'Bearer entra-1')
    assert.equal(azure.requests.at(-1)?.headers['api-key'], undefined)
  })

  test('a wrong key, a wrong deployment and a wrong secret are refused by Azure', async () => {
    assert.equal((await call(auth, { ...common(), credential: 'other' })).status, 401)
    assert.equal((await call(auth, { ...common(), model: 'other' })).status, 404)
    const wrong = client({ client_secret: 'entra-mistyped' })
    await assert.rejects(call(auth, { ...common(), credential: wrong }), fault('credential', 'mistyped'))
  })

  test('a tenant cannot be a path', async () => {
    for (const tenant of ['../../evil', 'a/b', '', '..', 'x?y', 7]) {
      const asked = azure.requests.length
      await assert.rejects(
        call(auth, { ...common(), credential: client({ tenant_id: tenant }) }),
        fault('credential', 'entra-secret'),
      )
      assert.equal(azure.requests.length, asked)
    }
  })
})

describe('Vertex AI', () => {
  let nowMs = Date.parse('2026-11-22T12:00:00Z')
  const now = () => nowMs
  let vertex: Awaited<ReturnType<typeof createVertex>>
  before(async () => {
    vertex = await createVertex({ now })
  })
  after(() => vertex.close())

  const fresh = () => authenticator({ now, googleTokenUrl: vertex.tokenUrl })
  const common = () => ({
    preset: 'vertex',
    baseUrl: vertex.baseUrl,
    credential: vertex.serviceAccountKey(),
    model: 'google/gemini-3-flash',
    params: { project: 'my-project' },
  })

  test('a service account key becomes a token, which lasts until a minute before its end', async () => {
    const auth = fresh()
    const before = vertex.tokenRequests()
    const used = async () => {
      const { status } = await call(auth, common())
      assert.equal(status, 200)
      return vertex.tokenRequests() - before
    }
    assert.equal(await used(), 1)
    nowMs += 3_539_999
    assert.equal(await used(), 1)
    nowMs += 1
    assert.equal(await used(), 2)
    await auth.close()
  })

  test('calls that come together share one request for a token', async () => {
    const auth = fresh()
    const before = vertex.tokenRequests()
    const answers = await Promise.all(Array.from({ length: 10 }, () => call(auth, common())))
    assert(answers.every(({ status }) => status === 200))
    assert.equal(vertex.tokenRequests() - before, 1)
    await auth.close()
  })

  test('a token that was refused is forgotten', async () => {
    const auth = fresh()
    assert.equal((await call(auth, common())).status, 200)
    vertex.revokeTokens()
    assert.equal((await call(auth, common())).status, 401)
    auth.rejected(common().credential)
    assert.equal((await call(auth, common())).status, 200)
    await auth.close()
  })

  test('a key that Google does not know is the fault of the credential', async () => {
    const auth = fresh()
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    const other = vertex.serviceAccountKey({ private_key: privateKey })
    await assert.rejects(call(auth, { ...common(), credential: other }), fault('credential', privateKey.slice(40, 80)))
    await auth.close()
  })

  test('what is no key asks nobody', async () => {
    const auth = fresh()
    const before = vertex.tokenRequests()
    const credentials = [
      'AIzaSy-an-api-key',
      '[]',
      '{"type":"service_account"}',
      '{"type":"service_account","type":"service_account"}',
      vertex.serviceAccountKey({ type: 'authorized_user' }),
      vertex.serviceAccountKey({
        private_key: '-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n',
      }),
      undefined,
      '',
    ]
    for (const credential of credentials)
      await assert.rejects(call(auth, { ...common(), credential }), fault('credential', 'an-api-key'))
    assert.equal(vertex.tokenRequests(), before)
    await auth.close()
  })

  test('a key cannot send us anywhere else', async () => {
    const elsewhere = await createCloudServer(() => ({ status: 200, body: { access_token: 'x', expires_in: 3600 } }))
    const auth = fresh()
    for (const uri of [
      `${elsewhere.url}/token`,
      `${vertex.tokenUrl}?x`,
      `${vertex.tokenUrl}@${elsewhere.url.slice(7)}`,
      'http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token',
      'https://oauth2.googleapis.com.evil.example/token',
      'http://oauth2.googleapis.com/token',
    ])
      await assert.rejects(
        call(auth, { ...common(), credential: vertex.serviceAccountKey({ token_uri: uri }) }),
        fault('credential'),
      )
    vertex.answerTokensWith({ status: 307, headers: { location: `${elsewhere.url}/token` }, body: '' })
    await assert.rejects(call(auth, common()), fault('credential'))
    vertex.answerTokensWith(undefined)
    assert.deepEqual(elsewhere.requests, [])
    await auth.close()
    await elsewhere.close()
  })

  test('a token address that is away is nobody’s key', async () => {
    const auth = fresh()
    const long = JSON.stringify({ access_token: 'x', expires_in: 3600, padding: 'x'.repeat(70_000) })
    for (const [status, body] of [
      [503, 'unavailable'],
      [429, {}],
      [200, 'not JSON'],
      [200, {}],
      [200, { access_token: 'a b', expires_in: 3600 }],
      [200, { access_token: 'x\r\ny: z', expires_in: 3600 }],
      [200, { access_token: 'x', expires_in: 0 }],
      [200, { access_token: 'x' }],
      [200, long],
    ] as const) {
      vertex.answerTokensWith({ status, body })
      await assert.rejects(call(auth, common()), fault('provider'))
    }
    vertex.answerTokensWith(undefined)
    assert.equal((await call(auth, common())).status, 200, 'a failure is not kept')
    await auth.close()
  })

  test('a token address that is silent or gone', async () => {
    const hurried = authenticator({ now, googleTokenUrl: vertex.tokenUrl, timeoutMs: 100 })
    vertex.answerTokensWith('silence')
    await assert.rejects(call(hurried, common()), (error) => {
      fault('provider')(error)
      assert.equal((error as UpstreamAuthError).timedOut, true)
      return true
    })
    vertex.answerTokensWith(undefined)
    await hurried.close()
    const gone = await createCloudServer(() => undefined)
    await gone.close()
    const auth = authenticator({ now, googleTokenUrl: `${gone.url}/token` })
    const credential = vertex.serviceAccountKey({ token_uri: `${gone.url}/token` })
    await assert.rejects(call(auth, { ...common(), credential }), fault('provider'))
    await auth.close()
  })
})

describe('Amazon Bedrock', () => {
  const region = 'us-west-2'
  const keys = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
  const apiKey = 'ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl'
  const auth = authenticator()
  let bedrock: Awaited<ReturnType<typeof createBedrock>>
  before(async () => {
    bedrock = await createBedrock({ region, apiKey, ...keys })
  })
  after(() => Promise.all([bedrock.close(), auth.close()]))

  const common = () => ({
    preset: 'bedrock',
    baseUrl: `${bedrock.url}/openai/v1`,
    model: 'openai.gpt-oss-20b-1:0',
    params: { region },
  })

  test('an API key is a bearer token', async () => {
    assert.equal((await call(auth, { ...common(), credential: apiKey })).status, 200)
    assert.equal((await call(auth, { ...common(), credential: `${apiKey}x` })).status, 403)
  })

  test('an access key signs each request', async () => {
    const credential = `${keys.accessKeyId}:${keys.secret}`
    for (const body of [{}, { stream: true }, { messages: [{ role: 'user', content: 'Grüße, 世界 \u{1f600}' }] }])
      assert.equal((await call(auth, { ...common(), credential, body })).status, 200)
    assert.doesNotMatch(JSON.stringify(bedrock.requests), new RegExp(keys.secret.replace('+', '\\+')))
  })

  test('another secret, another region and a stray session are refused', async () => {
    const secret = `${keys.secret.slice(0, -1)}Z`
    assert.equal((await call(auth, { ...common(), credential: `${keys.accessKeyId}:${secret}` })).status, 403)
    const credential = `${keys.accessKeyId}:${keys.secret}`
    assert.equal((await call(auth, { ...common(), params: { region: 'us-east-1' }, credential })).status, 403)
    assert.equal((await call(auth, { ...common(), credential: `${credential}:session` })).status, 403)
  })

  test('temporary credentials carry their session', async () => {
    const temporary = await createBedrock({ region, apiKey, ...keys, session: 'IQoJb3JpZ2luX2VjEXAMPLE==' })
    const credential = `${keys.accessKeyId}:${keys.secret}:IQoJb3JpZ2luX2VjEXAMPLE==`
    const baseUrl = `${temporary.url}/openai/v1`
    assert.equal((await call(auth, { ...common(), baseUrl, credential })).status, 200)
    await temporary.close()
  })

  test('a mistyped pair is never sent as a token', async () => {
    const asked = bedrock.requests.length
    const credential = `${keys.accessKeyId.toLowerCase()}:${keys.secret}`
    await assert.rejects(call(auth, { ...common(), credential }), fault('credential', keys.secret))
    assert.equal(bedrock.requests.length, asked)
  })
})

test('a server that stands open gets no header, and a key that no header can carry is the fault of the credential', async () => {
  const auth = authenticator()
  const open = await createCloudServer(() => ({ status: 200, body: {} }))
  const common = { preset: 'vllm', baseUrl: `${open.url}/v1`, model: 'm' }
  assert.equal((await call(auth, { ...common, credential: undefined })).status, 200)
  assert.equal(open.requests[0]?.headers.authorization, undefined)
  assert.equal((await call(auth, { ...common, credential: 'k' })).status, 200)
  assert.equal(open.requests[1]?.headers.authorization, 'Bearer k')
  await assert.rejects(call(auth, { ...common, credential: 'k\r\nx: y' }), fault('credential', 'x: y'))
  assert.equal(open.requests.length, 2)
  await auth.close()
  await open.close()
})
