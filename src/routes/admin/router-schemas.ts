import { type TSchema, Type } from 'typebox'
import { SLICE_KEY_CHARS_MAX, SLICE_KEYS_MAX, SLICE_UPSTREAMS_MAX, sliceKinds } from '#domain/router-slices.ts'
import { Time } from '#routes/schemas.ts'

// What the operator's door to the router config takes and gives.

const Free = Type.Object({}, { additionalProperties: true })
const Version = Type.Integer({ minimum: 0 })
const Problem = Type.Object({ path: Type.String(), message: Type.String() })
const ProblemList = Type.Array(Problem)
const oneOf = (names: readonly string[]) => Type.Union(names.map((name) => Type.Literal(name)))

export const Config = Type.Object(
  {},
  {
    additionalProperties: true,
    description:
      'A router config: docs/router-config.md. A key may have `plaintextKey` instead of `ciphertext`: it is sealed before it is stored.',
  },
)

export const IfMatch = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'The ETag of what was read.' })),
})

export const VersionBody = Type.Object({
  object: Type.Literal('router_version'),
  version: Version,
  digest: Type.String(),
  etag: Type.String(),
  author: Type.String(),
  reason: Type.String(),
  created_at: Time,
  parent: Version,
  rollback_of: Type.Union([Version, Type.Null()]),
})

export const ConfigBody = Type.Object({
  object: Type.Literal('router_config'),
  version: Version,
  etag: Type.String(),
  written: Type.Union([VersionBody, Type.Null()]),
  config: Type.Object({}, { additionalProperties: true, description: 'Every ciphertext is `<ciphertext: N chars>`.' }),
  problems: Type.Array(Problem, { description: 'Why this release cannot use it: an older version serves.' }),
  warnings: Type.Array(Problem, { description: 'Keys that do not open.' }),
})

const DiffBody = Type.Object({
  models: Type.Array(
    Type.Object({
      surface: Type.String(),
      name: Type.String(),
      kind: oneOf(['added', 'removed', 'changed']),
      fields: Type.Array(Type.String()),
    }),
  ),
  defaults: Type.Array(Type.String()),
  settings: Type.Array(Type.String()),
})

export const PlanBody = Type.Object({
  object: Type.Literal('router_plan'),
  base: Type.Object({ version: Version, etag: Type.String() }),
  digest: Type.String(),
  changed: Type.Boolean(),
  diff: DiffBody,
  warnings: ProblemList,
})

export const ChangeBody = Type.Object({
  object: Type.Literal('router_change'),
  status: oneOf(['applied', 'unchanged']),
  version: VersionBody,
  diff: DiffBody,
  warnings: ProblemList,
})

const strict = <T extends Record<string, TSchema>>(members: T) => Type.Object(members, { additionalProperties: false })
const Name = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^|]*$', description: "Without '|'." })
const Address = Type.String({ minLength: 1, maxLength: 2048 })
const PlaintextKey = Type.String({ maxLength: SLICE_KEY_CHARS_MAX, writeOnly: true })

const endpointMembers = {
  plaintextKey: Type.Optional(PlaintextKey),
  keyEntryId: Type.Optional(Name),
  keys: Type.Optional(
    Type.Array(
      strict({
        id: Type.Optional(Name),
        plaintextKey: PlaintextKey,
        weight: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
      }),
      { minItems: 1, maxItems: SLICE_KEYS_MAX },
    ),
  ),
  baseURL: Type.Optional(Address),
  headerTemplate: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  overrideModel: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  region: Type.Optional(Type.String({ minLength: 1, maxLength: 40 })),
  upstreamModel: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  upstreamURL: Type.Optional(Address),
}

export const SliceBody = strict({
  kind: oneOf(sliceKinds),
  modelName: Type.Optional(Name),
  ...endpointMembers,
  upstreams: Type.Optional(
    Type.Array(
      strict({
        id: Type.Optional(Name),
        kind: Type.Optional(oneOf(sliceKinds)),
        timeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 3_600_000 })),
        weight: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
        maxConcurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
        ...endpointMembers,
      }),
      { minItems: 1, maxItems: SLICE_UPSTREAMS_MAX },
    ),
  ),
})

export const SlicesBody = Type.Object({
  applied: Type.Array(
    Type.Object({
      kind: oneOf(sliceKinds),
      target: oneOf(['llm-router', 'streaming-tts']),
      surface: Type.Optional(oneOf(['llm', 'tts'])),
      modelName: Type.Optional(Type.String()),
      keyEntryId: Type.Union([Type.String(), Type.Null()]),
      keyEntryIds: Type.Array(Type.String()),
    }),
  ),
  invalidatedKeys: Type.Array(Type.String()),
  preview: Free,
  version: Version,
  warnings: ProblemList,
})

export const SettingsByName = Type.Record(Type.String({ maxLength: 100 }), Type.Unknown(), {
  minProperties: 1,
  maxProperties: 100,
  description: 'Values by name; null removes one.',
})

export const SettingBody = Type.Object({
  object: Type.Literal('setting'),
  key: Type.String(),
  value: Type.Unknown({ description: 'As it is set, or its default, or null. Ciphertexts are placeholders.' }),
  set: Type.Boolean(),
  author: Type.Union([Type.String(), Type.Null()]),
  reason: Type.Union([Type.String(), Type.Null()]),
  updated_at: Type.Union([Time, Type.Null()]),
})

export const SettingsChangeBody = Type.Object({
  object: Type.Literal('settings_change'),
  keys: Type.Array(Type.String(), { description: 'What was written; what held already is not.' }),
  warnings: ProblemList,
})
