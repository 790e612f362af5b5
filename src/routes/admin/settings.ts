import { Type } from 'typebox'
import { settingsChangeView, settingView } from '#domain/router-views.ts'
import type { SettingsEditor } from '#domain/settings-editor.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, Reason } from '#routes/schemas.ts'
import { SettingBody, SettingsByName, SettingsChangeBody } from './router-schemas.ts'

const KeyPath = Type.Object({ key: Type.String({ pattern: '^[A-Z0-9_]{1,100}$' }) })

export function settingRoutes(app: HttpInstance, deps: { settings: SettingsEditor }) {
  const { settings } = deps

  app.get(
    '/api/admin/settings',
    {
      schema: {
        summary: 'List the hot settings with their values or defaults',
        response: answers(
          { 200: Type.Object({ object: Type.Literal('list'), data: Type.Array(SettingBody) }) },
          401,
          503,
        ),
      },
    },
    async () => ({ object: 'list' as const, data: (await settings.list()).map(settingView) }),
  )

  app.put(
    '/api/admin/settings',
    {
      schema: {
        summary: 'Write several settings, all or none',
        body: Type.Object({ values: SettingsByName, reason: Reason }, { additionalProperties: false }),
        response: answers({ 200: SettingsChangeBody }, 400, 401, 413, 415, 503),
      },
    },
    async (request) => settingsChangeView(await settings.set({ ...request.body, author: actorOf(request).actor })),
  )

  app.get(
    '/api/admin/settings/:key',
    {
      schema: {
        summary: 'One setting',
        params: KeyPath,
        response: answers({ 200: SettingBody }, 401, 404, 503),
      },
    },
    async (request) => settingView(await settings.get(request.params.key)),
  )

  app.put(
    '/api/admin/settings/:key',
    {
      schema: {
        summary: 'Write one setting',
        description: 'Null removes it: then its default holds, if it has one. Every process heeds it within a second.',
        params: KeyPath,
        body: Type.Object({ value: Type.Unknown(), reason: Reason }, { additionalProperties: false }),
        response: answers({ 200: SettingsChangeBody }, 400, 401, 404, 413, 415, 503),
      },
    },
    async (request) => {
      const { key } = request.params
      await settings.get(key)
      const { value, reason } = request.body
      return settingsChangeView(
        await settings.set({ values: { [key]: value }, reason, author: actorOf(request).actor }),
      )
    },
  )
}
