import { createCredentials } from '#domain/credentials.ts'
import { createRouterStore } from '#domain/router/router-store.ts'
import { createRouterEditor, type RouterEditor } from '#domain/router-editor.ts'
import { createSettingsEditor, type SettingsEditor } from '#domain/settings-editor.ts'
import { createSettingsStore } from '#domain/settings-store.ts'
import { createSliceEditor, type SliceEditor } from '#domain/slice-editor.ts'
import { withDatabase } from './books.ts'
import type { CliDeps } from './command.ts'
import { printTable } from './print.ts'

/** Who writes from the command line, as versions say it. */
export const AUTHOR = 'cli'

export interface RouterDoor {
  router: RouterEditor
  slices: SliceEditor
  settings: SettingsEditor
}

/** Runs `work` on the router config and the settings of the configured database. */
export async function withRouter<T>(deps: CliDeps, work: (door: RouterDoor) => Promise<T>): Promise<T> {
  const [keys, priceBook] = [await deps.envelopeKeys(), await deps.priceBook()]
  return withDatabase(deps, (db) => {
    const editing = {
      store: createRouterStore({ db, priceBook, fluxNanousd: deps.fluxNanousd }),
      settings: createSettingsStore({ db }),
      // What does not open is in the answer of the command that looked for it.
      credentials: createCredentials({ keys, onUndecryptable: () => undefined }),
    }
    return work({
      router: createRouterEditor(editing),
      slices: createSliceEditor(editing),
      settings: createSettingsEditor(editing),
    })
  })
}

/** Warnings for people, apart from what a command prints. */
export function printWarnings(
  err: NodeJS.WritableStream,
  warnings: readonly { path: string; message: string }[],
): void {
  for (const { path, message } of warnings) err.write(`warning: ${path} ${message}\n`)
}

interface Diff {
  models: readonly { surface: string; name: string; kind: string; fields: readonly string[] }[]
  defaults: readonly string[]
  settings: readonly string[]
}

export function printDiff(out: NodeJS.WritableStream, { models, defaults, settings }: Diff): void {
  printTable(out, [
    ...models.map(({ surface, name, kind, fields }) => [kind, `${surface} ${name}`, fields.join(', ')]),
    ...defaults.map((member) => ['changed', `defaults.${member}`, '']),
    ...settings.map((key) => ['changed', `setting ${key}`, '']),
  ])
}
