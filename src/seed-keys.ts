import type { ProviderKey } from '#cli/command.ts'
import type { Config } from './config.ts'

/** What `fluxgate router seed` may seal, by the names of the variables. */
export function seedKeys(config: Config): Record<string, ProviderKey | undefined> {
  /** A key of a provider of the environment stays with the address that the environment gives it. */
  const ofProvider = (name: string): ProviderKey | undefined => {
    const found = config.providers.find((provider) => provider.name === name)
    return found?.apiKey && { key: found.apiKey, baseUrl: found.baseUrl }
  }
  return {
    OPENROUTER_KEY: config.OPENROUTER_KEY && { key: config.OPENROUTER_KEY, baseUrl: undefined },
    OPENAI_API_KEY: ofProvider('openai'),
    ANTHROPIC_API_KEY: ofProvider('anthropic'),
    GEMINI_API_KEY: ofProvider('gemini'),
    AZURE_KEY: config.AZURE_KEY && { key: config.AZURE_KEY, baseUrl: undefined },
    DASHSCOPE_KEY: config.DASHSCOPE_KEY && { key: config.DASHSCOPE_KEY, baseUrl: undefined },
  }
}
