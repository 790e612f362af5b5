import { apiKeyHeader, openaiPaths, optionalBearer, paths } from './common.ts'
import type { Preset } from './preset.ts'

const common = {
  baseUrl: undefined,
  params: {},
  maxTokensMember: 'max_tokens',
  streamOptions: true,
  usageInStream: 'asked',
} as const satisfies Partial<Preset>

/** Servers that have no address before an operator gives one. */
export const ownServers: readonly Preset[] = [
  {
    ...common,
    name: 'ollama',
    title: 'Ollama',
    paths: paths('chat', 'responses', 'completions', 'embeddings'),
    auth: optionalBearer,
    environment: environmentOf('ollama', 'OLLAMA', 'http://127.0.0.1:11434/v1'),
    notes: 'Free of charge in the bundled price book.',
  },
  {
    ...common,
    name: 'vllm',
    title: 'vLLM',
    paths: openaiPaths,
    auth: optionalBearer,
    environment: environmentOf('vllm', 'VLLM', 'http://127.0.0.1:8000/v1'),
    notes: '',
  },
  {
    ...common,
    name: 'lmstudio',
    title: 'LM Studio',
    paths: paths('chat', 'responses', 'completions', 'embeddings'),
    auth: optionalBearer,
    environment: environmentOf('lmstudio', 'LMSTUDIO', 'http://127.0.0.1:1234/v1'),
    notes: '',
  },
  {
    ...common,
    name: 'openai-compatible',
    title: 'Any server that speaks as OpenAI does',
    paths: openaiPaths,
    auth: optionalBearer,
    environment: environmentOf('openai-compatible', 'OPENAI_COMPATIBLE', 'https://llm.example.com/v1'),
    notes: 'The address ends with the version segment.',
  },
  {
    ...common,
    name: 'anthropic-compatible',
    title: 'Any server that speaks as Anthropic does',
    baseUrlEndings: ['/v1'],
    paths: { messages: 'v1/messages', count_tokens: 'v1/messages/count_tokens' },
    auth: { ...apiKeyHeader, optional: true },
    environment: environmentOf('anthropic-compatible', 'ANTHROPIC_COMPATIBLE', 'https://llm.example.com'),
    notes: 'The address may end with the version segment or without it.',
  },
  {
    ...common,
    name: 'sim',
    title: 'The simulator',
    paths: { ...openaiPaths, messages: 'messages', count_tokens: 'messages/count_tokens' },
    auth: { kind: 'none' },
    environment: undefined,
    notes: 'Built in.',
  },
]

function environmentOf(name: string, prefix: string, example: string): Preset['environment'] {
  return {
    enabledBy: [`${prefix}_BASE_URL`],
    credentials: [{ form: 'text', variable: `${prefix}_API_KEY` }],
    credentialRequired: false,
    baseUrl: { variable: `${prefix}_BASE_URL`, description: `Enables \`${name}/<model>\`, as in ${example}.` },
  }
}
