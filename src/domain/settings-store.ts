import { type Db, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { recordAct } from './audit-trail.ts'
import { redactKeys } from './credentials-in-config.ts'
import { NAME_CHARS_MAX, REASON_CHARS_MAX, requirePlainText } from './plain-text.ts'
import { defaultModels } from './router/default-models.ts'
import { judgeSettings } from './router/judge-settings.ts'
import { type SettingChange, type SettingsStore, VERSIONS_PAGE_MAX } from './router/router-store.ts'
import {
  insertSettings,
  lockState,
  notifyState,
  readState,
  type SettingRow,
  settingColumns,
  usableConfig,
  type WrittenState,
} from './router/stored-state.ts'

/** Keeps the hot settings beside the router config. `announce` is called after a write is committed. */
export function createSettingsStore(options: { db: Db; announce?: (written: WrittenState) => void }): SettingsStore {
  const { db, announce = () => undefined } = options
  return {
    async all() {
      const { settings } = await readState(db)
      return settings.filter(({ text }) => text !== undefined).map(changeOf)
    },

    async history({ key, limit, before }) {
      assert(limit >= 1 && limit <= VERSIONS_PAGE_MAX, 'a page has 1 to VERSIONS_PAGE_MAX changes')
      const { rows } = await db.query<Omit<SettingRow, 'text'> & { text: string | null }>(
        `select ${settingColumns} from setting
         where ($1::text is null or key = $1) and ($2::int8 is null or version < $2) order by version desc limit $3`,
        [key ?? null, before ?? null, limit + 1],
      )
      const changes = rows.slice(0, limit).map(({ text, ...row }) => changeOf({ ...row, text: text ?? undefined }))
      return { changes, hasMore: rows.length > limit }
    },

    async set({ values, author, reason }) {
      requirePlainText(author, 'author', NAME_CHARS_MAX)
      requirePlainText(reason, 'reason', REASON_CHARS_MAX)
      const { outcome, written } = await transaction(db, async (tx) => {
        await lockState(tx)
        const state = await readState(tx)
        const judged = judgeSettings(state.settings, values)
        if (judged.problems.length > 0) return { outcome: { status: 'invalid', problems: judged.problems } as const }
        const keys = [...judged.values.keys()].sort()
        const document = state.config === undefined ? undefined : usableConfig(state.config)
        const { warnings } = defaultModels(
          document !== undefined && 'document' in document ? document.document : {},
          judged.settings,
        )
        const outcome = {
          status: 'applied',
          keys,
          warnings: warnings.filter(({ path }) => keys.includes(path)),
        } as const
        if (keys.length === 0) return { outcome }
        const before = new Map(state.settings.map(({ key, text }) => [key, text]))
        await recordAct(tx, {
          ...{ actor: author, action: 'settings.set', subject: keys.join().slice(0, 255) },
          before: shownValues(keys, before),
          after: { ...shownValues(keys, judged.values), reason },
        })
        const settings = await insertSettings(tx, state.settingsVersion, judged.values, { author, reason })
        const written = { config: state.config?.version ?? 0, settings }
        await notifyState(tx, written)
        return { outcome, written }
      })
      if (written !== undefined) announce(written)
      return outcome
    },
  }
}

function changeOf({ text, ...row }: SettingRow): SettingChange {
  return { ...row, value: shownValue(text) }
}

/** Without keys of providers, sealed or not. */
function shownValues(keys: readonly string[], values: ReadonlyMap<string, string | undefined>) {
  return Object.fromEntries(keys.map((key) => [key, redactKeys(shownValue(values.get(key))) ?? null]))
}

/** A stored text that is no JSON is shown as it is. */
function shownValue(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
