import { apiKeyHeader, bearer, openaiPaths, paths } from './common.ts'
import type { Preset, PresetEnvironment } from './preset.ts'

/** A company with one key and one address. */
type Row = Pick<Preset, 'name' | 'title' | 'paths'> & { baseUrl: string; key: string } & Partial<
    Pick<Preset, 'auth' | 'authOf' | 'maxTokensMember' | 'streamOptions' | 'usageInStream' | 'notes'>
  >

const rows: readonly Row[] = [
  {
    name: 'openai',
    title: 'OpenAI',
    baseUrl: 'https://api.openai.com/v1',
    key: 'OPENAI_API_KEY',
    paths: openaiPaths,
    maxTokensMember: 'max_completion_tokens',
  },
  {
    name: 'anthropic',
    title: 'Anthropic',
    baseUrl: 'https://api.anthropic.com/v1',
    key: 'ANTHROPIC_API_KEY',
    paths: { ...paths('chat'), messages: 'messages', count_tokens: 'messages/count_tokens' },
    authOf: { messages: apiKeyHeader, count_tokens: apiKeyHeader },
    notes: 'Chat is a compatibility layer without prompt caching; messages count cached tokens apart from the input.',
  },
  {
    name: 'gemini',
    title: 'Google AI Studio',
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai',
    key: 'GEMINI_API_KEY',
    paths: paths('chat', 'embeddings'),
    notes: 'Audio input is not told apart in the usage.',
  },
  {
    name: 'openrouter',
    title: 'OpenRouter',
    baseUrl: 'https://openrouter.ai/api/v1',
    key: 'OPENROUTER_API_KEY',
    paths: { ...paths('chat', 'responses', 'completions', 'embeddings'), messages: 'messages' },
    usageInStream: 'always',
    notes: 'Picks among hosts with different prices, so that a model has no one price.',
  },
  {
    name: 'groq',
    title: 'Groq',
    baseUrl: 'https://api.groq.com/openai/v1',
    key: 'GROQ_API_KEY',
    paths: paths('chat', 'responses', 'speech', 'transcriptions', 'translations'),
    notes: 'Streams carry usage under x_groq as well.',
  },
  {
    name: 'deepseek',
    title: 'DeepSeek',
    baseUrl: 'https://api.deepseek.com/v1',
    key: 'DEEPSEEK_API_KEY',
    paths: { ...paths('chat'), messages: '../anthropic/v1/messages' },
    authOf: { messages: apiKeyHeader },
    notes: 'Cached input is prompt_cache_hit_tokens.',
  },
  {
    name: 'mistral',
    title: 'Mistral',
    baseUrl: 'https://api.mistral.ai/v1',
    key: 'MISTRAL_API_KEY',
    paths: paths('chat', 'embeddings'),
    streamOptions: false,
    usageInStream: 'always',
    notes: 'Refuses stream_options, max_completion_tokens and members that it does not know.',
  },
  {
    name: 'xai',
    title: 'xAI',
    baseUrl: 'https://api.x.ai/v1',
    key: 'XAI_API_KEY',
    paths: paths('chat', 'responses'),
    notes: 'Reasoning tokens are not part of completion_tokens.',
  },
  {
    name: 'together',
    title: 'Together AI',
    baseUrl: 'https://api.together.ai/v1',
    key: 'TOGETHER_API_KEY',
    paths: paths('chat', 'completions', 'embeddings', 'speech', 'transcriptions', 'translations'),
  },
  {
    name: 'fireworks',
    title: 'Fireworks AI',
    baseUrl: 'https://api.fireworks.ai/inference/v1',
    key: 'FIREWORKS_API_KEY',
    paths: { ...paths('chat', 'responses', 'completions', 'embeddings'), messages: 'messages' },
    usageInStream: 'always',
  },
  {
    name: 'cerebras',
    title: 'Cerebras',
    baseUrl: 'https://api.cerebras.ai/v1',
    key: 'CEREBRAS_API_KEY',
    paths: paths('chat'),
    maxTokensMember: 'max_completion_tokens',
  },
  {
    name: 'perplexity',
    title: 'Perplexity',
    baseUrl: 'https://api.perplexity.ai',
    key: 'PERPLEXITY_API_KEY',
    paths: paths('chat'),
    usageInStream: 'always',
    notes: 'Bills searches per request, outside of the tokens.',
  },
  {
    name: 'cohere',
    title: 'Cohere',
    baseUrl: 'https://api.cohere.ai/compatibility/v1',
    key: 'COHERE_API_KEY',
    paths: paths('chat', 'embeddings'),
    streamOptions: false,
    notes: 'Refuses stream_options.',
  },
  {
    name: 'nvidia',
    title: 'NVIDIA API Catalog',
    baseUrl: 'https://integrate.api.nvidia.com/v1',
    key: 'NVIDIA_API_KEY',
    paths: paths('chat', 'embeddings'),
  },
  {
    name: 'moonshot',
    title: 'Moonshot AI (Kimi)',
    baseUrl: 'https://api.moonshot.ai/v1',
    key: 'MOONSHOT_API_KEY',
    paths: { ...paths('chat', 'responses'), messages: '../anthropic/v1/messages' },
    notes: 'https://api.moonshot.cn/v1 in China.',
  },
  {
    name: 'zai',
    title: 'Z.ai (Zhipu)',
    baseUrl: 'https://api.z.ai/api/paas/v4',
    key: 'ZAI_API_KEY',
    paths: paths('chat'),
    notes: 'https://open.bigmodel.cn/api/paas/v4 in China.',
  },
  {
    name: 'qwen',
    title: 'Alibaba Cloud Model Studio (Qwen)',
    baseUrl: 'https://dashscope-intl.aliyuncs.com/compatible-mode/v1',
    key: 'DASHSCOPE_API_KEY',
    paths: paths('chat', 'embeddings'),
    notes:
      'Singapore. https://dashscope.aliyuncs.com/compatible-mode/v1 is Beijing; workspaces have addresses of their own.',
  },
  {
    name: 'minimax',
    title: 'MiniMax',
    baseUrl: 'https://api.minimax.io/v1',
    key: 'MINIMAX_API_KEY',
    paths: { ...paths('chat', 'responses'), messages: '../anthropic/v1/messages' },
    maxTokensMember: 'max_completion_tokens',
    notes: 'https://api.minimaxi.com/v1 in China. Some models think inside of content, in <think> marks.',
  },
  {
    name: 'siliconflow',
    title: 'SiliconFlow',
    baseUrl: 'https://api.siliconflow.com/v1',
    key: 'SILICONFLOW_API_KEY',
    paths: paths('chat', 'embeddings'),
    notes: 'https://api.siliconflow.cn/v1 in China.',
  },
  {
    name: 'huggingface',
    title: 'Hugging Face Inference Providers',
    baseUrl: 'https://router.huggingface.co/v1',
    key: 'HUGGINGFACE_API_KEY',
    paths: paths('chat', 'responses'),
    notes: 'Routes to hosts with different prices, so that a model has no one price.',
  },
  {
    name: 'github-models',
    title: 'GitHub Models',
    baseUrl: 'https://models.github.ai/inference',
    key: 'GITHUB_MODELS_TOKEN',
    paths: paths('chat', 'embeddings'),
  },
]

function environmentOf({ key, name, baseUrl }: Row): PresetEnvironment {
  return {
    enabledBy: [key],
    credentials: [{ form: 'text', variable: key }],
    credentialRequired: true,
    baseUrl: {
      variable: key.replace(/_(API_KEY|TOKEN)$/, '_BASE_URL'),
      description: `Where \`${name}/<model>\` is served. ${baseUrl} when unset.`,
    },
  }
}

function withoutKey({ key: _, ...row }: Row) {
  return row
}

/** Companies with one API for all of their models. Addresses are as their own documents have them in November 2026. */
export const companies: readonly Preset[] = rows.map((row) => ({
  params: {},
  auth: bearer,
  maxTokensMember: 'max_tokens',
  streamOptions: true,
  usageInStream: 'asked',
  environment: environmentOf(row),
  notes: '',
  ...withoutKey(row),
}))
