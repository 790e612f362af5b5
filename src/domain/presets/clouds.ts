import { openaiPaths, paths } from './common.ts'
import type { Preset, PresetEnvironment, PresetParam } from './preset.ts'

const azureEnvironment: PresetEnvironment = {
  enabledBy: ['AZURE_OPENAI_API_KEY', 'AZURE_OPENAI_ENDPOINT'],
  credentials: [
    { form: 'text', variable: 'AZURE_OPENAI_API_KEY' },
    { form: 'entra', tenantId: 'AZURE_TENANT_ID', clientId: 'AZURE_CLIENT_ID', secret: 'AZURE_CLIENT_SECRET' },
  ],
  credentialRequired: true,
  baseUrl: {
    variable: 'AZURE_OPENAI_ENDPOINT',
    description: 'Where `azure-openai/<deployment>` is served, as in https://NAME.openai.azure.com.',
  },
}

const region: PresetParam = {
  pattern: /^[a-z]{2,4}(-[a-z]+){1,3}-\d$/,
  fallback: undefined,
  variable: 'AWS_REGION',
  description: 'Region of `bedrock/<model>`, as in us-west-2.',
}

const bedrockCredentials: PresetEnvironment['credentials'] = [
  { form: 'text', variable: 'AWS_BEARER_TOKEN_BEDROCK' },
  { form: 'aws', accessKeyId: 'AWS_ACCESS_KEY_ID', secret: 'AWS_SECRET_ACCESS_KEY', session: 'AWS_SESSION_TOKEN' },
]

/** Providers whose address and credentials are more than one address and one key. */
export const clouds: readonly Preset[] = [
  {
    name: 'azure-openai',
    title: 'Azure OpenAI, v1 API',
    baseUrl: undefined,
    baseUrlEndings: ['/openai/v1', '/openai'],
    params: {},
    paths: prefixed('openai/v1/', openaiPaths),
    auth: { kind: 'azure' },
    maxTokensMember: 'max_completion_tokens',
    streamOptions: true,
    usageInStream: 'asked',
    environment: azureEnvironment,
    notes: 'The model is the name of a deployment.',
  },
  {
    name: 'azure-openai-dated',
    title: 'Azure OpenAI, dated API',
    baseUrl: undefined,
    baseUrlEndings: ['/openai/v1', '/openai'],
    params: {
      apiVersion: {
        pattern: /^\d{4}-\d{2}-\d{2}(-preview)?$/,
        fallback: undefined,
        variable: 'AZURE_OPENAI_API_VERSION',
        description:
          'Serves `azure-openai/<deployment>` by the API of this date, as in 2024-10-21. Unset: by the v1 API.',
      },
    },
    paths: Object.fromEntries(
      (['chat', 'completions', 'embeddings', 'speech', 'transcriptions', 'translations'] as const).map((protocol) => [
        protocol,
        `openai/deployments/{MODEL}/${openaiPaths[protocol]}?api-version={apiVersion}`,
      ]),
    ),
    auth: { kind: 'azure' },
    maxTokensMember: 'max_completion_tokens',
    streamOptions: true,
    usageInStream: 'asked',
    environment: { ...azureEnvironment, provider: 'azure-openai', enabledBy: ['AZURE_OPENAI_API_VERSION'] },
    notes: 'The model is the name of a deployment and part of the path. Takes the place of azure-openai.',
  },
  {
    name: 'vertex',
    title: 'Google Vertex AI',
    baseUrl:
      'https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/endpoints/openapi',
    baseUrlOf: {
      param: 'location',
      urls: {
        global: 'https://aiplatform.googleapis.com/v1/projects/{project}/locations/global/endpoints/openapi',
      },
    },
    params: {
      project: {
        pattern: /^[a-z][a-z0-9-]{4,61}[a-z0-9]$/,
        fallback: undefined,
        variable: 'VERTEX_PROJECT',
        description: 'Enables `vertex/google/<model>`: the Google Cloud project that pays.',
      },
      location: {
        pattern: /^[a-z]+(-[a-z]+[0-9]+)?$/,
        fallback: 'global',
        variable: 'VERTEX_LOCATION',
        description: 'Location of `vertex/google/<model>`, as in europe-west4.',
      },
    },
    paths: paths('chat'),
    auth: { kind: 'google' },
    maxTokensMember: 'max_tokens',
    streamOptions: true,
    usageInStream: 'asked',
    environment: {
      enabledBy: ['VERTEX_PROJECT'],
      credentials: [{ form: 'file', variable: 'GOOGLE_APPLICATION_CREDENTIALS' }],
      credentialRequired: true,
      baseUrl: {
        variable: 'VERTEX_BASE_URL',
        description:
          'Where `vertex/google/<model>` is served, to the end of `…/endpoints/openapi`. By its location when unset.',
      },
    },
    notes: 'Models are called google/<model>. Claude on Vertex has a format of its own and is not served.',
  },
  {
    name: 'bedrock',
    title: 'Amazon Bedrock, runtime endpoint',
    baseUrl: 'https://bedrock-runtime.{region}.amazonaws.com/openai/v1',
    params: { region },
    paths: { ...paths('chat', 'responses'), messages: '../../anthropic/v1/messages' },
    auth: { kind: 'aws', service: 'bedrock' },
    maxTokensMember: 'max_completion_tokens',
    streamOptions: true,
    usageInStream: 'asked',
    environment: {
      enabledBy: ['AWS_BEARER_TOKEN_BEDROCK'],
      ambient: ['AWS_ACCESS_KEY_ID'],
      credentials: bedrockCredentials,
      credentialRequired: true,
      baseUrl: {
        variable: 'BEDROCK_BASE_URL',
        description: 'Where `bedrock/<model>` is served, to the end of `…/openai/v1`. By its region when unset.',
      },
    },
    notes: 'A call that is broken off is billed to its end.',
  },
  {
    name: 'bedrock-mantle',
    title: 'Amazon Bedrock, mantle endpoint',
    baseUrl: 'https://bedrock-mantle.{region}.api.aws/openai/v1',
    params: { region },
    paths: { ...paths('chat', 'responses'), messages: '../../anthropic/v1/messages' },
    auth: { kind: 'aws', service: 'bedrock-mantle' },
    maxTokensMember: 'max_completion_tokens',
    streamOptions: true,
    usageInStream: 'asked',
    environment: undefined,
    notes: 'In the router config only.',
  },
]

function prefixed(prefix: string, of: Readonly<Record<string, string>>): Preset['paths'] {
  return Object.fromEntries(Object.entries(of).map(([protocol, path]) => [protocol, `${prefix}${path}`]))
}
