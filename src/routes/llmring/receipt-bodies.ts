import { Type } from 'typebox'
import { CERTIFIED_ENTRIES_MAX, DESCRIPTION_CHARS_MAX, TAG_CHARS_MAX, TAGS_MAX } from '#billing/certificate.ts'
import { RECEIPTS_LISTED_MAX, RECEIPTS_OFFSET_MAX } from '#domain/certificates/receipt-book.ts'

// What requests about receipts look like, and what is answered.

const Uuid = Type.String({ pattern: '^[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}$' })

export const GenerateBody = Type.Object(
  {
    conversation_id: Type.Optional(Uuid),
    start_date: Type.Optional(Type.String({ maxLength: 64 })),
    end_date: Type.Optional(
      Type.String({ maxLength: 64, description: 'A date is included to its last moment, a time is not included.' }),
    ),
    log_ids: Type.Optional(Type.Array(Uuid, { maxItems: CERTIFIED_ENTRIES_MAX })),
    since_last_receipt: Type.Optional(Type.Boolean()),
    description: Type.Optional(Type.String({ maxLength: 4 * DESCRIPTION_CHARS_MAX })),
    tags: Type.Optional(Type.Array(Type.String({ maxLength: 4 * TAG_CHARS_MAX }), { maxItems: TAGS_MAX })),
  },
  { description: 'The first of conversation_id, start_date with end_date, log_ids and since_last_receipt counts.' },
)

export const PageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: RECEIPTS_LISTED_MAX, description: 'Default 100.' })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: RECEIPTS_OFFSET_MAX })),
})

// PostgreSQL takes no NUL.
const ReceiptId = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000]*$' })

export const ReceiptParams = Type.Object({ receipt_id: ReceiptId })
export const EntryParams = Type.Object({ receipt_id: ReceiptId, log_id: Uuid })

const page = { total: Type.Integer(), limit: Type.Integer(), offset: Type.Integer() }
const Nanousd = Type.String({ pattern: '^(0|[1-9][0-9]{0,22})$', description: 'Nano-dollars, as a decimal string.' })
const orNull = <Item extends Parameters<typeof Type.Optional>[0]>(item: Item) => Type.Union([item, Type.Null()])
const Text = Type.String()
const Count = Type.Integer({ minimum: 0 })
const Dollars = Type.Number({ description: 'US dollars.' })

/** The members that a verifier of llmring-server looks at. */
export const llmringFields = {
  receipt_id: Text,
  timestamp: Type.String({ maxLength: 64 }),
  alias: Text,
  profile: Text,
  lock_digest: Text,
  provider: Text,
  model: Text,
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  input_cost: Type.Number(),
  output_cost: Type.Number(),
  total_cost: Type.Number(),
}

const Groups = Type.Record(Type.String(), Type.Object({ calls: Count, cost: Dollars, tokens: Count }))

const Open = Type.Object({}, { additionalProperties: true })

export const ReceiptView = Type.Object(
  {
    ...llmringFields,
    signature: Text,
    key_id: orNull(Text),
    receipt_type: Type.Optional(orNull(Text)),
    batch_summary: Type.Optional(orNull(Open)),
    description: Type.Optional(orNull(Text)),
    tags: Type.Optional(orNull(Type.Array(Text))),
    source: Type.Union([Type.Literal('gateway'), Type.Literal('reported'), Type.Literal('llmring')]),
    project_key: Text,
    alias_name: orNull(Text),
    model_used: orNull(Text),
    total_cost_nanousd: Type.Optional(Nanousd),
    unpriced: Type.Optional(Count),
    cost_split: Type.Optional(Type.Boolean()),
    valid: Type.Optional(Type.Boolean({ description: 'Of a receipt of llmring-server: whether its signature holds.' })),
    signed_payload: Type.Optional(Text),
    unsigned: Type.Optional(Type.Array(Text)),
    v2: Type.Optional(Open),
  },
  { description: 'docs/certificates.md says what each member is and what covers it.' },
)

export const ReceiptList = Type.Object({ receipts: Type.Array(ReceiptView), ...page })

export const Generated = Type.Object({ receipt: ReceiptView, certified_count: Count })

const emptyPreview = { total_logs: Count, total_cost: Dollars, total_tokens: Count }

export const Preview = Type.Union([
  Type.Object({ ...emptyPreview, message: Text }),
  Type.Object({
    ...emptyPreview,
    total_conversations: Count,
    start_date: Text,
    end_date: Text,
    by_model: Groups,
    by_alias: Groups,
    receipt_type: Text,
    total_cost_nanousd: Nanousd,
    unpriced: Count,
  }),
])

const rowMembers = {
  id: Text,
  type: Type.Literal('usage'),
  alias: orNull(Text),
  provider: Text,
  model: Text,
  input_tokens: Count,
  output_tokens: Count,
  cost: orNull(Dollars),
  cost_nanousd: orNull(Nanousd),
  cost_status: Text,
  timestamp: Text,
}

export const UncertifiedList = Type.Object({ logs: Type.Array(Type.Object(rowMembers)), ...page })

const Entry = Type.Object({}, { additionalProperties: true, description: 'The leaf: docs/certificates.md.' })
const Inclusion = Type.Object({ pos: Count, path: Type.Array(Text) })

export const CertifiedList = Type.Object({
  receipt_id: Text,
  logs: Type.Array(
    Type.Object({
      ...rowMembers,
      source: Type.Union([Type.Literal('gateway'), Type.Literal('reported')]),
      alias_name: orNull(Text),
      model_used: Text,
      profile: Text,
      origin: orNull(Text),
      id_at_origin: orNull(Text),
      cached_input_tokens: Count,
      latency_ms: orNull(Count),
      conversation_id: orNull(Text),
      metadata: orNull(Open),
      created_at: Text,
      proof: orNull(Type.Object({ entry: Entry, inclusion: Inclusion })),
    }),
  ),
  ...page,
})

export const EntryBundle = Type.Object(
  { batch: Open, document: Open, entry: Entry, inclusion: Inclusion, metadata: Text },
  { description: 'One log with everything that verifies offline that it stands on the certificate.' },
)

export const AnyReceipt = Type.Object(
  {},
  {
    additionalProperties: true,
    description:
      'A receipt of llmring-server or as this server answers it, with or without its `v2`; or a bundle of a receipt, of a document, or of a certificate with one entry.',
  },
)

export const Verdict = Type.Object({
  receipt_id: orNull(Text),
  valid: Type.Boolean(),
  algorithm: Type.Literal('Ed25519'),
  key_id: orNull(Text),
  steps: Type.Array(Type.Object({ name: Text, ok: Type.Boolean(), reached: Type.Boolean(), detail: Text })),
  unsigned: Type.Array(Text, { description: 'Members that were sent and that no signature covers.' }),
})
