/** The providers that llmring knows: what begins with one of them is a model and never an alias of a package. */
const KNOWN_PROVIDERS: ReadonlySet<string> = new Set(['openai', 'anthropic', 'google', 'ollama'])

/** `provider:model`, split at the first colon. */
export interface ModelRef {
  provider: string
  model: string
}

/** Undefined for a text without a colon, or with nothing before or after it. */
export function parseModelRef(text: string): ModelRef | undefined {
  const colon = text.indexOf(':')
  if (colon < 1 || colon === text.length - 1) return undefined
  return { provider: text.slice(0, colon), model: text.slice(colon + 1) }
}

export function isKnownProvider(name: string): boolean {
  return KNOWN_PROVIDERS.has(name.toLowerCase())
}

/** Lockfiles say `google` for what the gateway calls `gemini`. */
const GATEWAY_PROVIDERS: Readonly<Record<string, string>> = { google: 'gemini' }

/** The name that the gateway serves a model of a lockfile under: `openai:gpt-4o-mini` is `openai/gpt-4o-mini` there. */
export function gatewayModel(ref: string, providers: Readonly<Record<string, string>> = GATEWAY_PROVIDERS): string {
  const parsed = parseModelRef(ref)
  if (parsed === undefined) return ref
  const provider = Object.hasOwn(providers, parsed.provider) ? providers[parsed.provider] : parsed.provider
  return `${provider}/${parsed.model}`
}
