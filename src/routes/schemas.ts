import { type TSchema, Type } from 'typebox'
import { outcomeNumbers } from '#billing/outcome.ts'
import { ATTEMPTS_LISTED_MAX, RECEIPT_VERSION } from '#billing/receipt.ts'
import { usageKinds, usageSources } from '#billing/usage.ts'
import { budgetPeriods } from '#domain/budgets/budgets.ts'
import { contentLevels } from '#domain/conversations/content-level.ts'
import { OVERLAP_SECONDS } from '#domain/keys.ts'
import { scopes } from '#domain/scopes.ts'

// What bodies and answers look like. The same objects check requests, type the handlers and make the OpenAPI document.

const Money = Type.String({
  pattern: '^(0|[1-9][0-9]{0,18})$',
  description: 'Nano-dollars, as a decimal string.',
})
export const PositiveMoney = Type.String({
  pattern: '^[1-9][0-9]{0,18}$',
  description: 'Nano-dollars, as a decimal string: "5000000000" is $5.',
  examples: ['5000000000'],
})
const Flux = Type.String({ pattern: '^(0|[1-9][0-9]*)(\\.[0-9]+)?$', description: 'Flux, as an exact decimal.' })
export const Time = Type.String({ format: 'date-time' })
const TimeOrNull = Type.Union([Time, Type.Null()])

export const Description = Type.String({ minLength: 1, maxLength: 500, description: 'For people.' })
export const Name = Type.String({ minLength: 1, maxLength: 100 })
export const Reason = Type.String({ minLength: 1, maxLength: 500, description: 'Why: kept in the books.' })

/** An id that could not exist is not found, like one that does not. */
export const PathId = Type.Object({ id: Type.String({ pattern: '^[0-9A-Za-z_]{1,100}$' }) })

/** An id or a name that a page ended with. */
export const Cursor = Type.String({ maxLength: 100, pattern: '^[^\\u0000-\\u001f]*$' })

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.String({
    pattern: '^[!-~]{1,255}$',
    description: 'The same key with the same body is answered as before and does nothing; with another body it is 409.',
  }),
})

/** Paging by cursor: `after` is the `next_after` of the page before. */
export function pageQuery<After extends TSchema>(after: After, limitMax: number) {
  return Type.Object(
    {
      after: Type.Optional(after),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limitMax, description: `Default ${limitMax}.` })),
    },
    { additionalProperties: false },
  )
}

export function listOf<Item extends TSchema, Cursor extends TSchema>(item: Item, cursor: Cursor) {
  return Type.Object({
    object: Type.Literal('list'),
    data: Type.Array(item),
    has_more: Type.Boolean(),
    next_after: Type.Union([cursor, Type.Null()]),
  })
}

const projectMembers = {
  object: Type.Literal('project'),
  id: Type.String(),
  name: Type.String(),
  description: Type.Union([Type.String(), Type.Null()]),
  account: Type.String({ description: 'What receipts call its wallet.' }),
  content_logging: Type.Enum(contentLevels, { description: 'What is kept of conversations that clients report.' }),
  content_retention_days: Type.Integer({ description: 'How long.' }),
  low_balance_nanousd: Type.Union([Money, Type.Null()], {
    description: 'Webhooks are told when the balance falls below it.',
  }),
  created_at: Time,
}

export const ProjectBody = Type.Object(projectMembers)

export const WalletBody = Type.Object({
  object: Type.Literal('wallet'),
  account: Type.String(),
  posted_nanousd: Money,
  held_nanousd: Money,
  available_nanousd: Money,
  posted_flux: Flux,
  held_flux: Flux,
  available_flux: Flux,
  frozen: Type.Boolean(),
  last_seq: Type.Integer({ description: 'Calls numbered so far: receipts run from 1 to here without a gap.' }),
  lots: Type.Array(
    Type.Object({
      id: Type.String(),
      kind: Type.Union(['paid', 'promo', 'subscription', 'admin'].map((kind) => Type.Literal(kind))),
      priority: Type.Integer({ description: 'The lower burns first.' }),
      rest_nanousd: Money,
      expires_at: TimeOrNull,
    }),
  ),
})

export const ProjectWithWalletBody = Type.Object({ ...projectMembers, wallet: WalletBody })

const Scopes = Type.Array(Type.Union(scopes.map((scope) => Type.Literal(scope))), {
  minItems: 1,
  maxItems: scopes.length,
  uniqueItems: true,
  description:
    '`inference` calls models, `ingest` reports usage, `read` sees usage, `admin` manages the keys of its project.',
})

/** What rotates a key. */
export const Rotation = Type.Object(
  {
    overlap_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: OVERLAP_SECONDS.max,
        description: `How long the old key goes on working; 0 ends it at once. Default ${OVERLAP_SECONDS.default}.`,
      }),
    ),
    expires_at: Type.Optional(
      Type.Union([Time, Type.Null()], {
        description: 'When the new key expires, or null: never. Default: it lives as long as the old one was made for.',
      }),
    ),
  },
  { additionalProperties: false },
)

export const NewKey = Type.Object(
  { name: Name, expires_at: Type.Optional(Time), scopes: Type.Optional(Scopes) },
  { additionalProperties: false },
)

const keyMembers = {
  object: Type.Literal('api_key'),
  id: Type.String(),
  project_id: Type.String(),
  name: Type.String(),
  hint: Type.String({ description: 'The last four characters of the secret; empty where it is too short for that.' }),
  scopes: Scopes,
  legacy: Type.Boolean({ description: 'Made by another system and brought along.' }),
  created_at: Time,
  expires_at: TimeOrNull,
  revoked_at: TimeOrNull,
  last_used_at: Type.Union([Time, Type.Null()], { description: 'Late by up to two minutes.' }),
  rotated_to: Type.Union([Type.String(), Type.Null()], { description: 'The key that replaced it.' }),
}

export const KeyBody = Type.Object(keyMembers)

const Secret = Type.String({ description: 'Shown here and never again.' })

export const NewKeyBody = Type.Object({ ...keyMembers, secret: Secret })

export const RotatedKeyBody = Type.Object({ ...keyMembers, secret: Secret, replaced: KeyBody })

export const GrantBody = Type.Object({
  object: Type.Literal('grant'),
  id: Type.String(),
  project_id: Type.String(),
  amount_nanousd: Money,
  reason: Type.String(),
  actor: Type.String(),
  expires_at: TimeOrNull,
  created_at: Time,
})

export const RefundBody = Type.Object({
  object: Type.Literal('refund'),
  id: Type.String(),
  receipt_id: Type.String(),
  amount_nanousd: Money,
  reason: Type.String(),
  actor: Type.String(),
  created_at: Time,
})

export const AuditBody = Type.Object({
  object: Type.Literal('ledger_audit'),
  ok: Type.Boolean(),
  checked_at: Time,
  invariants: Type.Array(
    Type.Object({ name: Type.String(), checked: Type.Integer(), bad: Type.Integer({ description: 'Always 0.' }) }),
  ),
})

const Count = Type.Integer({ minimum: 0 })
const UnitPrice = Type.String({ pattern: '^(0|[1-9][0-9]{0,15})$', description: 'Pico-dollars per unit.' })
const byKind = <Value extends TSchema>(value: Value) =>
  Type.Partial(Type.Object(Object.fromEntries(usageKinds.map((kind) => [kind, value]))))

export const AttemptBody = Type.Object({
  provider: Type.String(),
  model: Type.String(),
  upstream: Type.Optional(Type.String({ description: 'The operator’s own id of the upstream.' })),
  key: Type.Optional(Type.String({ description: 'The first 8 hex digits of the SHA-256 of the credential.' })),
  protocol: Type.Optional(Type.String()),
  result: Type.String({ description: '`ok`, or the code of the fault, such as `status_429`.' }),
  ms: Count,
  cost_nanousd: Type.Optional(Money),
})

/** For the OpenAPI document alone: receipts leave as they are stored, and parseReceipt is what reads them. */
export const ReceiptBody = Type.Object({
  v: Type.Literal(RECEIPT_VERSION),
  log: Type.String(),
  receipt_id: Type.String(),
  account: Type.String(),
  seq: Type.Integer({ minimum: 1 }),
  issued_at: Time,
  project_key: Type.String(),
  key_id: Type.String(),
  alias_name: Type.Optional(Type.String()),
  profile: Type.Optional(Type.String()),
  origin: Type.Optional(Type.String()),
  lock_digest: Type.Optional(Type.String()),
  model: Type.String({ description: 'As you asked for it.' }),
  provider: Type.String(),
  model_used: Type.String({ description: 'As the provider knows it.' }),
  upstream_id: Type.Optional(Type.String({ description: 'The provider’s own id of the call.' })),
  attempts: Type.Integer({ minimum: 0, description: 'How often an upstream was asked.' }),
  attempt_list: Type.Optional(Type.Array(AttemptBody, { maxItems: ATTEMPTS_LISTED_MAX })),
  stream: Type.Boolean(),
  outcome: Type.Union(Object.keys(outcomeNumbers).map((outcome) => Type.Literal(outcome))),
  reason: Type.Optional(Type.String()),
  usage: byKind(Type.Integer({ minimum: 1 })),
  usage_source: Type.Union(usageSources.map((source) => Type.Literal(source))),
  price: Type.Object({
    book: Type.String({ description: 'Digest of the price book.' }),
    lines: byKind(UnitPrice),
    minimum_nanousd: Type.Optional(Money),
    flat_nanousd: Type.Optional(Money),
  }),
  charged_nanousd: Money,
  absorbed_nanousd: Money,
  request_commit: Type.Optional(Type.String()),
  response_commit: Type.Optional(Type.String()),
  config_version: Type.Optional(Count),
})

export const BundleBody = Type.Object(
  { receipt: ReceiptBody, batch: Type.Object({}, { additionalProperties: true }) },
  { description: 'Everything that is needed to verify the receipt offline, but for the public keys.' },
)

export const DocumentBundleBody = Type.Object(
  { document: Type.Object({}, { additionalProperties: true }), batch: Type.Object({}, { additionalProperties: true }) },
  {
    description:
      'A signed document: docs/receipts.md. Everything that is needed to verify it offline, but for the public keys.',
  },
)

const OrNull = Type.Union([Type.String(), Type.Null()])

export const BudgetBody = Type.Object({
  object: Type.Literal('budget'),
  id: Type.String(),
  name: Type.String(),
  key_id: OrNull,
  user_id: OrNull,
  model: OrNull,
  alias: OrNull,
  tag: OrNull,
  limit_nanousd: Money,
  spent_nanousd: Money,
  held_nanousd: Money,
  remaining_nanousd: Money,
  period: Type.Enum(budgetPeriods),
  time_zone: Type.String(),
  period_start: TimeOrNull,
  period_end: TimeOrNull,
  warn_percent: Type.Array(Type.Integer()),
  active: Type.Boolean(),
  created_at: Time,
  updated_at: Time,
})

export const ErrorBody = Type.Object(
  {
    error: Type.Object({
      message: Type.String(),
      type: Type.String(),
      param: Type.Union([Type.String(), Type.Null()]),
      code: Type.Union([Type.String(), Type.Null()]),
      details: Type.Optional(
        Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
          description: 'Everything that is wrong with what was sent.',
        }),
      ),
    }),
  },
  { description: 'The codes are listed in docs/errors.md.' },
)

/** The answers of a route: its own and the errors it can give. */
export function answers(own: Record<number, TSchema>, ...errors: number[]) {
  return { ...own, ...Object.fromEntries(errors.map((status) => [status, ErrorBody])) }
}
