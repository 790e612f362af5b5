// How the router config and the settings look in JSON: the same over HTTP and from the command line. Everything is redacted
// before it comes here.
import type { ConfigProblem } from './router/router-document.ts'
import type { RouterDiff, RouterPlan, RouterVersion } from './router/router-store.ts'
import type { RouterChange, ShownConfig } from './router-editor.ts'
import type { ShownSetting } from './settings-editor.ts'
import type { SlicesResult } from './slice-editor.ts'

export function routerVersionView(version: RouterVersion) {
  return {
    object: 'router_version' as const,
    version: version.version,
    digest: version.digest,
    etag: version.etag,
    author: version.author,
    reason: version.reason,
    created_at: version.createdAt.toISOString(),
    parent: version.parent,
    rollback_of: version.rollbackOf ?? null,
  }
}

/** `version` is 0 and what is written of a version null while nothing was ever written. */
export function routerConfigView({ etag, version, config, problems, warnings }: ShownConfig) {
  return {
    object: 'router_config' as const,
    version: version?.version ?? 0,
    etag,
    written: version === undefined ? null : routerVersionView(version),
    config,
    problems: [...problems],
    warnings: [...warnings],
  }
}

export function routerPlanView(plan: RouterPlan) {
  return {
    object: 'router_plan' as const,
    base: plan.base,
    digest: plan.digest,
    changed: plan.changed,
    diff: diffView(plan.diff),
    warnings: [...plan.warnings],
  }
}

export function routerChangeView({ status, version, diff, warnings }: RouterChange) {
  return {
    object: 'router_change' as const,
    status,
    version: routerVersionView(version),
    diff: diffView(diff),
    warnings: [...warnings],
  }
}

/** As AIRI answers, with more beside it. */
export function slicesView({ applied, invalidatedKeys, preview, warnings, version }: SlicesResult) {
  return {
    applied: applied.map(({ keyEntryIds, ...slice }) => ({
      ...slice,
      keyEntryId: keyEntryIds[0] ?? null,
      keyEntryIds,
    })),
    invalidatedKeys,
    preview,
    version,
    warnings: [...warnings],
  }
}

export function settingView({ key, value, change }: ShownSetting) {
  return {
    object: 'setting' as const,
    key,
    value: value ?? null,
    set: change !== undefined,
    author: change?.author ?? null,
    reason: change?.reason ?? null,
    updated_at: change?.createdAt.toISOString() ?? null,
  }
}

/** `keys` are those that were written: what held already is not. */
export function settingsChangeView(change: { keys: readonly string[]; warnings: readonly ConfigProblem[] }) {
  return { object: 'settings_change' as const, keys: [...change.keys], warnings: [...change.warnings] }
}

function diffView({ models, defaults, settings }: RouterDiff) {
  return { models: models.map((model) => ({ ...model })), defaults: [...defaults], settings: [...settings] }
}
