import { type CloudAnswer, type CloudRequest, chatAnswer, createCloudServer } from './cloud-server.ts'

export interface AzureOpenaiOptions {
  deployments: readonly string[]
  apiKey: string
  entra: { tenantId: string; clientId: string; secret: string }
}

const SCOPE = 'https://cognitiveservices.azure.com/.default'

/** An Azure OpenAI resource with both of its APIs, and the login that gives out tokens for it under `/login`. */
export async function createAzureOpenai(options: AzureOpenaiOptions) {
  const { deployments, apiKey, entra } = options
  const tokens = new Set<string>()
  let issued = 0

  function answer(request: CloudRequest): CloudAnswer {
    const url = new URL(request.url, 'http://azure')
    if (url.pathname === `/login/${entra.tenantId}/oauth2/v2.0/token`) return login(request)
    if (request.headers['api-key'] !== apiKey && !tokens.has(request.headers.authorization ?? ''))
      return refusal(401, '401', 'Access denied due to invalid subscription key or wrong API endpoint.')
    const dated = /^\/openai\/deployments\/([^/]+)\/chat\/completions$/.exec(url.pathname)
    if (dated !== null && !/^\d{4}-\d{2}-\d{2}(-preview)?$/.test(url.searchParams.get('api-version') ?? ''))
      return refusal(404, '404', 'Resource not found')
    if (dated === null && url.pathname !== '/openai/v1/chat/completions')
      return refusal(404, '404', 'Resource not found')
    const deployment = dated === null ? JSON.parse(request.body).model : decodeURIComponent(dated[1] ?? '')
    if (!deployments.includes(deployment))
      return refusal(404, 'DeploymentNotFound', 'The API deployment for this resource does not exist.')
    // Azure filters the prompt, and says so in a chunk without choices.
    return chatAnswer(request, [{ id: '', object: '', created: 0, model: '', choices: [], prompt_filter_results: [] }])
  }

  function login(request: CloudRequest): CloudAnswer {
    const form = new URLSearchParams(request.body)
    const allowed =
      form.get('grant_type') === 'client_credentials' &&
      form.get('client_id') === entra.clientId &&
      form.get('client_secret') === entra.secret &&
      form.get('scope') === SCOPE
    if (!allowed) return { status: 401, body: { error: 'invalid_client', error_description: 'AADSTS7000215' } }
    issued++
    tokens.add(`Bearer entra-${issued}`)
    return { status: 200, body: { token_type: 'Bearer', expires_in: 3599, access_token: `entra-${issued}` } }
  }

  return createCloudServer(answer)
}

function refusal(status: number, code: string, message: string): CloudAnswer {
  return { status, body: { error: { code, message } } }
}
