import { keyPlacesOfSettings } from '#domain/credentials-in-config.ts'
import { createSettings, isSettingName, type Settings, settingProblems } from '#domain/settings.ts'
import { readJson } from './parse-config.ts'
import { createProblems } from './read-json.ts'
import { restoreCiphertexts } from './restore-ciphertexts.ts'
import type { ConfigProblem } from './router-document.ts'
import { type SettingRow, usableSettings } from './stored-state.ts'

export interface JudgedSettings {
  problems: readonly ConfigProblem[]
  /** What is to be written, as JSON text; undefined removes. Values that hold already are left out. */
  values: ReadonlyMap<string, string | undefined>
  /** The settings as they would be. */
  settings: Settings
}

/** Checks changed settings against those that are stored: `null` removes one, also one that this release does not know. */
export function judgeSettings(
  stored: readonly SettingRow[],
  changes: Readonly<Record<string, unknown>>,
): JudgedSettings {
  const before = usableSettings(stored).values
  const given = createProblems()
  // Read once as JSON, so that what is checked is what is stored, and the caller's own values are left alone.
  const read = readJson(changes, given)
  const fresh = (read?.value ?? {}) as Record<string, unknown>
  const held = Object.fromEntries(
    [...before].flatMap(([key, entry]) => (entry === 'invalid' ? [] : [[key, entry.value] as const])),
  )
  const problems = [...given.list, ...restoreCiphertexts(keyPlacesOfSettings(fresh), keyPlacesOfSettings(held))]

  const values = new Map<string, string | undefined>()
  const after = new Map(before)
  for (const [key, value] of Object.entries(fresh)) {
    const row = stored.find((candidate) => candidate.key === key && candidate.text !== undefined)
    if (value === null) {
      if (row !== undefined) values.set(key, undefined)
      else if (!isSettingName(key)) problems.push(...settingProblems(key, value))
      after.delete(key)
      continue
    }
    problems.push(...settingProblems(key, value))
    const text = JSON.stringify(value)
    if (text !== row?.text) values.set(key, text)
    after.set(key, { value })
  }
  return { problems, values, settings: createSettings(after) }
}
