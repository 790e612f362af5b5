import type { Settings } from '#domain/settings.ts'
import { nearNames } from '#lib/near-names.ts'
import { type ConfigProblem, defaultModelMembers, type RouterDocument, surfaces } from './router-document.ts'
import type { RouterSnapshot, Surface } from './snapshot.ts'

/** The settings that name a default model. */
const settingOf = { llm: 'DEFAULT_CHAT_MODEL', tts: 'DEFAULT_TTS_MODEL' } as const

/**
 * What `auto` stands for, per surface. The config's own defaults stand before the settings of the same meaning: they are
 * written together with the models. A setting may be written before the models are, so a name that is none is a warning.
 */
export function defaultModels(
  document: RouterDocument,
  settings: Settings,
): { defaults: RouterSnapshot['defaults']; warnings: ConfigProblem[] } {
  const chosen: Partial<Record<Surface, string>> = {}
  const warnings: ConfigProblem[] = []
  for (const surface of surfaces) {
    const member = defaultModelMembers[surface]
    const own = document.defaults?.[member]
    const key = surface === 'llm' || surface === 'tts' ? settingOf[surface] : undefined
    const set = key === undefined ? undefined : settings.stored(key)
    const name = own ?? set
    if (name !== undefined) chosen[surface] = name
    if (key === undefined || set === undefined) continue
    const models = document[surface]?.models ?? {}
    if (own !== undefined && own !== set)
      warnings.push({ path: key, message: `has no effect: defaults.${member} of the router config says '${own}'` })
    if (own === undefined && !Object.hasOwn(models, set)) {
      const near = nearNames(set, Object.keys(models), 1)[0]
      const hint = near === undefined ? '' : `; did you mean '${near}'?`
      warnings.push({ path: key, message: `is not a model under ${surface} of the router config${hint}` })
    }
  }
  return { defaults: Object.freeze(chosen), warnings }
}
