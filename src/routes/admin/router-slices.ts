import { Type } from 'typebox'
import type { RouterEditor } from '#domain/router-editor.ts'
import { SLICES_MAX } from '#domain/router-slices.ts'
import { routerConfigView, settingView, slicesView } from '#domain/router-views.ts'
import type { SettingsEditor } from '#domain/settings-editor.ts'
import type { SliceEditor } from '#domain/slice-editor.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, Reason } from '#routes/schemas.ts'
import { ConfigBody, IfMatch, SettingBody, SliceBody, SlicesBody } from './router-schemas.ts'

/** Settings that this door writes beside the router config. */
const BESIDE = ['DEFAULT_CHAT_MODEL', 'DEFAULT_TTS_MODEL', 'STREAMING_TTS_UPSTREAM'] as const
const REASON = 'POST /api/admin/config/router'

/** AIRI's way to configure the router: models from little more than their keys. */
export function routerSliceRoutes(
  app: HttpInstance,
  deps: { router: RouterEditor; routerSlices: SliceEditor; settings: SettingsEditor },
) {
  app.get(
    '/api/admin/config/router',
    {
      schema: {
        summary: 'What the slices have made, redacted',
        response: answers({ 200: Type.Object({ router: ConfigBody, settings: Type.Array(SettingBody) }) }, 401, 503),
      },
    },
    async (_request, reply) => {
      const [router, settings] = await Promise.all([
        deps.router.show(),
        Promise.all(BESIDE.map((key) => deps.settings.get(key))),
      ])
      return reply
        .header('etag', router.etag)
        .send({ router: routerConfigView(router), settings: settings.map(settingView) })
    },
  )

  app.post(
    '/api/admin/config/router',
    {
      schema: {
        summary: 'Write models of the router config from slices',
        description:
          'Each slice replaces its model. `reset` discards the rest of the config, `merge` keeps it. With If-Match it is refused when somebody has written since; without, it is done again on top of that.',
        headers: IfMatch,
        body: Type.Object(
          {
            mode: Type.Optional(Type.Union([Type.Literal('merge'), Type.Literal('reset')])),
            dryRun: Type.Optional(Type.Boolean()),
            slices: Type.Array(SliceBody, { minItems: 1, maxItems: SLICES_MAX }),
            defaults: Type.Optional(
              Type.Object(
                {
                  chatModel: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
                  ttsModel: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
                },
                { additionalProperties: false },
              ),
            ),
            reason: Type.Optional(Reason),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: SlicesBody }, 400, 401, 412, 413, 415, 503),
      },
    },
    async (request) => {
      const { mode = 'merge', dryRun = false, slices, defaults = {}, reason = REASON } = request.body
      const ifMatch = request.headers['if-match']
      return slicesView(
        await deps.routerSlices.apply({
          mode,
          dryRun,
          slices,
          defaults,
          author: actorOf(request).actor,
          reason,
          ...(ifMatch !== undefined && { ifMatch }),
        }),
      )
    },
  )
}
