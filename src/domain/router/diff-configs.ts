import { at, isObject } from './read-json.ts'
import { type JsonObject, type RouterDocument, surfaces } from './router-document.ts'
import type { RouterDiff } from './router-store.ts'

/** Of one model; more are not worth reading. */
const FIELDS_MAX = 50

/** What differs, as paths: values may be long, and some are sealed keys. */
export function diffConfigs(before: RouterDocument, after: RouterDocument): Omit<RouterDiff, 'settings'> {
  const models: RouterDiff['models'] = []
  for (const surface of surfaces) {
    const old = modelsOf(before, surface)
    const fresh = modelsOf(after, surface)
    for (const name of [...new Set([...Object.keys(old), ...Object.keys(fresh)])].sort()) {
      const had = Object.hasOwn(old, name)
      const has = Object.hasOwn(fresh, name)
      const fields: string[] = []
      if (had && has) {
        collect(old[name], fresh[name], '', fields)
        if (fields.length > 0) models.push({ surface, name, kind: 'changed', fields: fields.slice(0, FIELDS_MAX) })
      } else models.push({ surface, name, kind: has ? 'added' : 'removed', fields })
    }
  }
  const defaults: string[] = []
  collect(before.defaults ?? {}, after.defaults ?? {}, '', defaults)
  return { models, defaults: [...new Set(defaults.map((path) => path.replace(/[.[].*$/, '')))] }
}

/** The stored document may be one that this release cannot use. */
function modelsOf(document: RouterDocument, surface: (typeof surfaces)[number]): JsonObject {
  const section: unknown = document[surface]
  const models = isObject(section) ? section.models : undefined
  return isObject(models) ? models : {}
}

function collect(before: unknown, after: unknown, path: string, fields: string[]): void {
  if (fields.length >= FIELDS_MAX) return
  if (isObject(before) && isObject(after)) {
    for (const name of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
      const values = [before, after].map((side) => (Object.hasOwn(side, name) ? side[name] : undefined))
      collect(values[0], values[1], at(path, name), fields)
    }
  } else if (Array.isArray(before) && Array.isArray(after)) {
    for (let index = 0; index < Math.max(before.length, after.length); index += 1)
      collect(before[index], after[index], at(path, index), fields)
  } else if (!Object.is(before, after)) fields.push(path)
}
