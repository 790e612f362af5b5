import { providerKeyProblem } from '#domain/credentials.ts'
import { SLICE_KEY_CHARS_MAX, type Slice, type SliceUpstream } from '#domain/router-slices.ts'
import { slicesView } from '#domain/router-views.ts'
import { type CliDeps, type ProviderKey, readArgs, UsageError } from './command.ts'
import { printJson } from './print.ts'
import { AUTHOR, printWarnings, withRouter } from './router-door.ts'

const variables = [
  'OPENROUTER_KEY',
  'OPENAI_API_KEY',
  'ANTHROPIC_API_KEY',
  'GEMINI_API_KEY',
  'AZURE_KEY',
  'DASHSCOPE_KEY',
] as const
type Variable = (typeof variables)[number]

const fallbacks = {
  'openrouter-model': 'openai/gpt-4o-mini',
  'openai-model': 'gpt-4o-mini',
  'anthropic-model': 'claude-haiku-4-5',
  'gemini-model': 'gemini-2.5-flash',
  'default-chat-model': 'chat-default',
  'azure-region': 'eastasia',
  'azure-tts-model': 'microsoft/v1',
  'dashscope-tts-model': 'alibaba/cosyvoice-v2',
  'dashscope-region': 'intl',
  'dashscope-upstream-model': 'cosyvoice-v2',
} as const
type Flags = Record<keyof typeof fallbacks, string>

const text = { type: 'string' } as const
const options = {
  merge: { type: 'boolean' },
  reset: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  reason: text,
  'default-tts-model': text,
  'openrouter-model': text,
  'openai-model': text,
  'anthropic-model': text,
  'gemini-model': text,
  'default-chat-model': text,
  'azure-region': text,
  'azure-tts-model': text,
  'dashscope-tts-model': text,
  'dashscope-region': text,
  'dashscope-upstream-model': text,
} as const

export const summary = 'Fill the router config from the provider keys of the environment.'
export const usage = `usage: fluxgate router seed [--merge | --reset] [--dry-run] [--reason TEXT] [OPTIONS] [--json]

The keys come from the environment alone, at least one of ${variables.join(', ')}. OpenRouter and OpenAI
serve one model, in this order; the others serve one each.

  --merge                     put what has a key into the config that is there (default)
  --reset                     begin with an empty config
  --dry-run                   print what would be written, redacted

Options, with what they are when nothing is said:

${Object.entries(fallbacks)
  .map(([flag, fallback]) => `  --${flag.padEnd(26)}${fallback}`)
  .join('\n')}
  --default-tts-model         none but on --reset: the first speech model that is seeded`

/** How a seed without any key is told what to set. */
const NOTHING_SET = `there is no key to seed: set at least one of ${variables.join(', ')} in the environment`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, options)
  if (values.merge && values.reset) throw new UsageError('give one of --merge and --reset')
  const mode = values.reset ? ('reset' as const) : ('merge' as const)
  const flags = Object.fromEntries(
    Object.entries(fallbacks).map(([flag, fallback]) => [flag, values[flag as keyof Flags] ?? fallback]),
  ) as Flags
  const slices = slicesFor((name) => deps.providerKeys[name], flags)
  if (slices.length === 0) throw new Error(NOTHING_SET)
  const dryRun = values['dry-run'] ?? false
  const result = await withRouter(deps, (door) =>
    door.slices.apply({
      mode,
      dryRun,
      slices,
      defaults: defaultsFor(slices, mode, { chat: values['default-chat-model'], tts: values['default-tts-model'] }),
      upsert: true,
      author: AUTHOR,
      reason: values.reason ?? `fluxgate router seed --${mode}`,
    }),
  )
  if (values.json) {
    printJson(deps.out, slicesView(result))
    return 0
  }
  printWarnings(deps.err, result.warnings)
  if (dryRun) deps.out.write(`${JSON.stringify(result.preview, null, 2)}\n`)
  const modelsOf = (surface: string) =>
    result.applied.flatMap((slice) => (slice.surface === surface ? [slice.modelName ?? ''] : [])).join(', ') || '–'
  const providers = slices.flatMap(
    ({ kind, upstreams }) => upstreams?.map((upstream) => upstream.kind ?? kind) ?? [kind],
  )
  deps.out.write(`mode        ${mode}${dryRun ? ', a dry run: nothing was written' : ''}\n`)
  deps.out.write(`providers   ${providers.join(', ')}\n`)
  deps.out.write(`llm.models  ${modelsOf('llm')}\ntts.models  ${modelsOf('tts')}\n`)
  if (!dryRun) deps.out.write(`version     ${result.version}\n`)
  return 0
}

function slicesFor(keyOf: (name: Variable) => ProviderKey | undefined, flags: Flags): Slice[] {
  /** What a key adds to a slice; undefined without the key. Throws Error that names the variable. */
  function endpoint(name: Variable): { plaintextKey: string; baseURL?: string } | undefined {
    const found = keyOf(name)
    if (found === undefined) return undefined
    const plaintextKey = found.key.reveal()
    const problem = providerKeyProblem(plaintextKey, SLICE_KEY_CHARS_MAX)
    if (problem !== undefined) throw new Error(`${name} ${problem}`)
    return { plaintextKey, ...(found.baseUrl !== undefined && { baseURL: found.baseUrl }) }
  }
  const one = (name: Variable, slice: Omit<Slice, 'plaintextKey'>): Slice[] => {
    const given = endpoint(name)
    return given === undefined ? [] : [{ ...slice, ...given }]
  }
  const chain: SliceUpstream[] = [
    ...one('OPENROUTER_KEY', { kind: 'openrouter', overrideModel: flags['openrouter-model'] }),
    ...one('OPENAI_API_KEY', { kind: 'openai', overrideModel: flags['openai-model'] }),
  ]
  const [first] = chain
  return [
    ...(first?.kind === undefined
      ? []
      : [{ kind: first.kind, modelName: flags['default-chat-model'], upstreams: chain }]),
    ...one('ANTHROPIC_API_KEY', { kind: 'anthropic', modelName: flags['anthropic-model'] }),
    ...one('GEMINI_API_KEY', { kind: 'gemini', modelName: flags['gemini-model'] }),
    ...one('AZURE_KEY', {
      kind: 'azure',
      modelName: flags['azure-tts-model'],
      region: flags['azure-region'],
    }),
    ...one('DASHSCOPE_KEY', {
      kind: 'dashscope-cosyvoice',
      modelName: flags['dashscope-tts-model'],
      region: flags['dashscope-region'],
      upstreamModel: flags['dashscope-upstream-model'],
    }),
  ]
}

/** A model that others serve is not taken away by merging: only the chat model of its own is the default at once. */
function defaultsFor(
  slices: readonly Slice[],
  mode: 'merge' | 'reset',
  asked: { chat: string | undefined; tts: string | undefined },
): { chatModel?: string; ttsModel?: string } {
  const firstOf = (kinds: readonly string[]) => slices.find(({ kind }) => kinds.includes(kind))?.modelName
  const chat =
    firstOf(['openrouter', 'openai']) ?? asked.chat ?? (mode === 'reset' ? firstOf(['anthropic', 'gemini']) : undefined)
  const tts = asked.tts ?? (mode === 'reset' ? firstOf(['azure', 'dashscope-cosyvoice']) : undefined)
  return { ...(chat !== undefined && { chatModel: chat }), ...(tts !== undefined && { ttsModel: tts }) }
}
