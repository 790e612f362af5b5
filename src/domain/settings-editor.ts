import { AppError } from '#src/errors.ts'
import { keyPlacesOfSettings, redactKeys, sealKeys } from './credentials-in-config.ts'
import type { ConfigProblem } from './router/router-document.ts'
import type { Candidate, SettingChange } from './router/router-store.ts'
import { type Authorship, type EditorDeps, refuse, refuseIfAny } from './router-editor.ts'
import { settingDefaults } from './setting-values.ts'
import { isSettingName, settingNames } from './settings.ts'

/** A setting as people may see it. */
export interface ShownSetting {
  key: string
  /** Undefined when it is neither set nor has a default. Ciphertexts are placeholders. */
  value: unknown
  /** Whether an operator has set it; otherwise `value` is the default. */
  change: SettingChange | undefined
}

/** The operator's door to the hot settings; see createRouterEditor. */
export function createSettingsEditor({ settings, credentials }: Pick<EditorDeps, 'settings' | 'credentials'>) {
  async function read(): Promise<ReadonlyMap<string, SettingChange>> {
    const all = await settings.all()
    return new Map(all.filter(({ value }) => value !== undefined).map((change) => [change.key, change]))
  }

  function shown(key: string, change: SettingChange | undefined): ShownSetting {
    const value = change === undefined ? (settingDefaults as Record<string, unknown>)[key] : change.value
    return { key, change, value: redactKeys(value) }
  }

  return {
    /** Every setting that there is, and what is stored beside. */
    async list(): Promise<ShownSetting[]> {
      const stored = await read()
      const names = new Set<string>([...settingNames, ...stored.keys()])
      return [...names].sort().map((key) => shown(key, stored.get(key)))
    },

    /** Throws AppError not_found. */
    async get(key: string): Promise<ShownSetting> {
      const change = (await read()).get(key)
      if (change === undefined && !isSettingName(key))
        throw new AppError('not_found', { message: 'No setting has this name.' })
      return shown(key, change)
    },

    /**
     * Writes all or nothing; `null` removes one. Plaintext keys are sealed, placeholders keep what is stored. Throws AppError
     * body_invalid.
     */
    async set(
      input: Authorship & { values: Readonly<Record<string, unknown>> },
    ): Promise<{ keys: string[]; warnings: readonly ConfigProblem[] }> {
      const values = structuredClone(input.values)
      const stored = Object.fromEntries([...(await read())].map(([key, { value }]) => [key, value]))
      refuseIfAny(sealKeys(credentials, keyPlacesOfSettings(values), keyPlacesOfSettings(stored)))
      // The store checks names and values; what it gets here is whatever was sent.
      const outcome = await settings.set({ ...input, values: values as NonNullable<Candidate['settings']> })
      if (outcome.status === 'invalid') return refuse(outcome.problems)
      return { keys: outcome.keys, warnings: outcome.warnings }
    },
  }
}

export type SettingsEditor = ReturnType<typeof createSettingsEditor>
