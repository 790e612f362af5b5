-- What all migrations together make, read from the catalogue by tools/dump-schema.ts. Read this to learn the data;
-- the reasons stand in migrations/. Change the schema with a new migration, then run: node tools/dump-schema.ts

create table account (
  id bigint generated always as identity not null,
  kind smallint not null,
  asset smallint default 1 not null,
  wallet_id bigint,
  slot smallint,
  class smallint,
  priority smallint,
  expires_at timestamp with time zone,
  open boolean default true not null,
  debits bigint default 0 not null,
  credits bigint default 0 not null,
  version bigint default 0 not null,
  constraint account_id_asset_key UNIQUE (id, asset),
  constraint account_pkey PRIMARY KEY (id),
  constraint account_check CHECK (((kind = 1) = (wallet_id IS NOT NULL))),
  constraint account_check1 CHECK (((kind = 1) = (slot IS NULL))),
  constraint account_check2 CHECK (((kind <> 1) OR ((class IS NOT NULL) AND (priority IS NOT NULL) AND (credits >= debits)))),
  constraint account_check3 CHECK ((open OR (credits = debits))),
  constraint account_class_check CHECK (((class >= 1) AND (class <= 4))),
  constraint account_credits_check CHECK ((credits >= 0)),
  constraint account_debits_check CHECK ((debits >= 0)),
  constraint account_kind_check CHECK (((kind >= 1) AND (kind <= 8)))
) with (fillfactor=70);

create table account_deletion (
  user_id text not null,
  project_id text,
  requested_at timestamp with time zone default clock_timestamp() not null,
  parts text[] default '{}'::text[] not null,
  tries integer default 0 not null,
  error text,
  next_at timestamp with time zone default (clock_timestamp() + '00:01:00'::interval) not null,
  leased_until timestamp with time zone,
  erased_at timestamp with time zone,
  closed_at timestamp with time zone,
  constraint account_deletion_pkey PRIMARY KEY (user_id),
  constraint account_deletion_check CHECK (((closed_at IS NULL) OR ((erased_at IS NOT NULL) AND (project_id IS NULL)))),
  constraint account_deletion_error_check CHECK (((length(error) >= 1) AND (length(error) <= 200))),
  constraint account_deletion_user_id_check CHECK (((length(user_id) >= 1) AND (length(user_id) <= 64)))
);

create table adjustment (
  ref uuid not null,
  kind text not null,
  wallet_id bigint not null,
  amount bigint not null,
  reason text not null,
  actor text not null,
  body_hash bytea not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  constraint adjustment_pkey PRIMARY KEY (ref),
  constraint adjustment_amount_check CHECK ((amount > 0)),
  constraint adjustment_body_hash_check CHECK ((length(body_hash) = 32)),
  constraint adjustment_kind_check CHECK ((kind = ANY (ARRAY['grant'::text, 'refund'::text, 'reversal'::text, 'claw_back'::text, 'repayment'::text, 'reinstatement'::text]))),
  constraint adjustment_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 500)))
);

create table api_key (
  id text not null,
  project_id text not null,
  name text not null,
  hash bytea not null,
  hint text not null,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone,
  revoked_at timestamp with time zone,
  scopes text[] default '{inference,ingest,read}'::text[] not null,
  last_used_at timestamp with time zone,
  rotated_to text,
  legacy boolean default false not null,
  user_id text,
  allowed_models text[],
  rate_limits text,
  constraint api_key_hash_key UNIQUE (hash),
  constraint api_key_rotated_to_key UNIQUE (rotated_to),
  constraint api_key_pkey PRIMARY KEY (id),
  constraint api_key_allowed_models_check CHECK ((((cardinality(allowed_models) >= 1) AND (cardinality(allowed_models) <= 200)) AND (array_position(allowed_models, NULL::text) IS NULL))),
  constraint api_key_check CHECK ((rotated_to <> id)),
  constraint api_key_hash_check CHECK ((length(hash) = 32)),
  constraint api_key_id_check CHECK ((id ~ '^key_[0-9a-z]{16,32}$'::text)),
  constraint api_key_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
  constraint api_key_rate_limits_check CHECK ((octet_length(rate_limits) <= 1000)),
  constraint api_key_scopes_check CHECK (((scopes <@ ARRAY['inference'::text, 'ingest'::text, 'read'::text, 'admin'::text]) AND ((cardinality(scopes) >= 1) AND (cardinality(scopes) <= 4)) AND (array_position(scopes, NULL::text) IS NULL)))
);

create table audit_event (
  id uuid not null,
  at timestamp with time zone default clock_timestamp() not null,
  actor text not null,
  action text not null,
  subject text,
  before text,
  after text,
  request_id text,
  constraint audit_event_pkey PRIMARY KEY (id),
  constraint audit_event_action_check CHECK ((action ~ '^[a-z_]+(\.[a-z_]+)+$'::text)),
  constraint audit_event_actor_check CHECK (((length(actor) >= 1) AND (length(actor) <= 100))),
  constraint audit_event_after_check CHECK ((octet_length(after) <= 65536)),
  constraint audit_event_before_check CHECK ((octet_length(before) <= 65536)),
  constraint audit_event_request_id_check CHECK ((length(request_id) <= 100)),
  constraint audit_event_subject_check CHECK (((length(subject) >= 1) AND (length(subject) <= 255)))
);

create table auth_account (
  id text not null,
  user_id text not null,
  provider_id text not null,
  account_id text not null,
  access_token text,
  refresh_token text,
  id_token text,
  access_token_expires_at timestamp with time zone,
  refresh_token_expires_at timestamp with time zone,
  scope text,
  password text,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint auth_account_provider_id_account_id_key UNIQUE (provider_id, account_id),
  constraint auth_account_pkey PRIMARY KEY (id)
);

create table auth_jwk (
  id text not null,
  public_key text not null,
  private_key text not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone,
  alg text,
  crv text,
  constraint auth_jwk_pkey PRIMARY KEY (id)
);

create table auth_session (
  id text not null,
  token text not null,
  user_id text not null,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  ip_address text,
  user_agent text,
  constraint auth_session_token_key UNIQUE (token),
  constraint auth_session_pkey PRIMARY KEY (id)
);

create table auth_user (
  id text not null,
  name text not null,
  email text not null,
  email_verified boolean default false not null,
  image text,
  created_at timestamp with time zone default now() not null,
  updated_at timestamp with time zone default now() not null,
  last_seen_at timestamp with time zone,
  banned boolean default false not null,
  ban_reason text,
  ban_expires_at timestamp with time zone,
  constraint auth_user_email_key UNIQUE (email),
  constraint auth_user_pkey PRIMARY KEY (id),
  constraint auth_user_ban_reason_check CHECK (((length(ban_reason) >= 1) AND (length(ban_reason) <= 500))),
  constraint auth_user_email_check CHECK ((email = lower(email))),
  constraint auth_user_id_check CHECK ((id ~ '^[0-9A-Za-z_-]{1,64}$'::text))
);

create table auth_verification (
  id text not null,
  identifier text not null,
  value text not null,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint auth_verification_pkey PRIMARY KEY (id)
);

create table auto_top_up (
  project_id text not null,
  enabled boolean not null,
  threshold bigint not null,
  price_id text not null,
  currency text,
  flux_per_month bigint not null,
  failures integer default 0 not null,
  disabled_reason text,
  updated_at timestamp with time zone default clock_timestamp() not null,
  constraint auto_top_up_pkey PRIMARY KEY (project_id),
  constraint auto_top_up_flux_per_month_check CHECK ((flux_per_month > 0)),
  constraint auto_top_up_threshold_check CHECK ((threshold > 0))
);

create table auto_top_up_attempt (
  id uuid not null,
  project_id text not null,
  price_id text not null,
  flux bigint not null,
  minor bigint not null,
  currency text not null,
  state text default 'pending'::text not null,
  intent_id text,
  error text,
  created_at timestamp with time zone default clock_timestamp() not null,
  ended_at timestamp with time zone,
  constraint auto_top_up_attempt_pkey PRIMARY KEY (id),
  constraint auto_top_up_attempt_error_check CHECK ((length(error) <= 500)),
  constraint auto_top_up_attempt_flux_check CHECK ((flux > 0)),
  constraint auto_top_up_attempt_minor_check CHECK ((minor > 0)),
  constraint auto_top_up_attempt_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'succeeded'::text, 'failed'::text])))
);

create table budget (
  id bigint generated always as identity not null,
  wallet_id bigint not null,
  name text not null,
  key_id text,
  user_id text,
  model text,
  alias_name text,
  tag text,
  limit_nanos bigint not null,
  period text not null,
  time_zone text not null,
  warn_percent integer[] not null,
  active boolean default true not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  updated_at timestamp with time zone default clock_timestamp() not null,
  constraint budget_wallet_id_name_key UNIQUE (wallet_id, name),
  constraint budget_pkey PRIMARY KEY (id),
  constraint budget_alias_name_check CHECK (((length(alias_name) >= 1) AND (length(alias_name) <= 255))),
  constraint budget_key_id_check CHECK (((length(key_id) >= 1) AND (length(key_id) <= 100))),
  constraint budget_limit_nanos_check CHECK (((limit_nanos >= 0) AND (limit_nanos <= '1000000000000000000'::bigint))),
  constraint budget_model_check CHECK (((length(model) >= 1) AND (length(model) <= 255))),
  constraint budget_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
  constraint budget_period_check CHECK ((period = ANY (ARRAY['day'::text, 'week'::text, 'month'::text, 'total'::text]))),
  constraint budget_tag_check CHECK (((length(tag) >= 1) AND (length(tag) <= 64))),
  constraint budget_time_zone_check CHECK (((length(time_zone) >= 1) AND (length(time_zone) <= 64))),
  constraint budget_user_id_check CHECK (((length(user_id) >= 1) AND (length(user_id) <= 64))),
  constraint budget_warn_percent_check CHECK (((cardinality(warn_percent) <= 10) AND (array_position(warn_percent, NULL::integer) IS NULL)))
);

create table budget_charge (
  request_id uuid not null,
  budget_id bigint not null,
  period_start timestamp with time zone not null,
  charged bigint not null,
  constraint budget_charge_pkey PRIMARY KEY (request_id, budget_id),
  constraint budget_charge_charged_check CHECK ((charged >= 0))
);

create table budget_usage (
  budget_id bigint not null,
  period_start timestamp with time zone not null,
  opening bigint default 0 not null,
  held bigint default 0 not null,
  spent bigint default 0 not null,
  told integer[] default '{}'::integer[] not null,
  constraint budget_usage_pkey PRIMARY KEY (budget_id, period_start),
  constraint budget_usage_check CHECK ((spent >= opening)),
  constraint budget_usage_held_check CHECK ((held >= 0)),
  constraint budget_usage_opening_check CHECK ((opening >= 0))
) with (fillfactor=70);

create table certificate (
  document_id text not null,
  project_id text not null,
  entries integer not null,
  request_hash bytea,
  constraint certificate_pkey PRIMARY KEY (document_id),
  constraint certificate_entries_check CHECK (((entries >= 1) AND (entries <= 10000))),
  constraint certificate_request_hash_check CHECK ((length(request_hash) = 32))
);

create table certified_log (
  log_id uuid not null,
  document_id text not null,
  pos integer not null,
  leaf bytea not null,
  constraint certified_log_document_id_pos_key UNIQUE (document_id, pos),
  constraint certified_log_pkey PRIMARY KEY (log_id),
  constraint certified_log_leaf_check CHECK ((length(leaf) = 32)),
  constraint certified_log_pos_check CHECK ((pos >= 0))
);

create table conversation (
  id uuid not null,
  wallet_id bigint not null,
  project_id text not null,
  key_id text not null,
  title text,
  system_prompt text,
  alias_name text,
  temperature double precision default 0.7 not null,
  max_tokens bigint,
  message_count bigint default 0 not null,
  input_tokens bigint default 0 not null,
  output_tokens bigint default 0 not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  updated_at timestamp with time zone default clock_timestamp() not null,
  last_message_at timestamp with time zone,
  constraint conversation_pkey PRIMARY KEY (id),
  constraint conversation_alias_name_check CHECK (((length(alias_name) >= 1) AND (length(alias_name) <= 255))),
  constraint conversation_max_tokens_check CHECK ((max_tokens > 0)),
  constraint conversation_system_prompt_check CHECK ((octet_length(system_prompt) <= 1048576)),
  constraint conversation_temperature_check CHECK (((temperature >= (0)::double precision) AND (temperature <= (2)::double precision))),
  constraint conversation_title_check CHECK (((length(title) >= 1) AND (length(title) <= 500)))
);

create table conversation_call (
  conversation_id uuid not null,
  call_id uuid not null,
  project_id text not null,
  key_id text not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  claimed_by uuid,
  claim_hash bytea,
  constraint conversation_call_call_id_key UNIQUE (call_id),
  constraint conversation_call_claimed_by_key UNIQUE (claimed_by),
  constraint conversation_call_pkey PRIMARY KEY (conversation_id),
  constraint conversation_call_check CHECK (((claimed_by IS NULL) = (claim_hash IS NULL)))
);

create table conversation_message (
  conversation_id uuid not null,
  "position" bigint not null,
  id uuid not null,
  wallet_id bigint not null,
  project_id text not null,
  role text not null,
  content text,
  tool_calls text,
  tool_results text,
  metadata text default '{}'::text not null,
  content_hash bytea,
  input_tokens bigint,
  output_tokens bigint,
  at timestamp with time zone default clock_timestamp() not null,
  constraint conversation_message_id_key UNIQUE (id),
  constraint conversation_message_pkey PRIMARY KEY (conversation_id, "position"),
  constraint conversation_message_content_hash_check CHECK ((length(content_hash) = 32)),
  constraint conversation_message_input_tokens_check CHECK ((input_tokens >= 0)),
  constraint conversation_message_output_tokens_check CHECK ((output_tokens >= 0)),
  constraint conversation_message_position_check CHECK (("position" >= 1)),
  constraint conversation_message_role_check CHECK (((length(role) >= 1) AND (length(role) <= 32)))
);

create table external_identity (
  issuer text not null,
  subject text not null,
  user_id text not null,
  constraint external_identity_pkey PRIMARY KEY (issuer, subject),
  constraint external_identity_issuer_check CHECK (((length(issuer) >= 1) AND (length(issuer) <= 500))),
  constraint external_identity_subject_check CHECK (((length(subject) >= 1) AND (length(subject) <= 255)))
);

create table flux_grant_batch (
  id text not null,
  idempotency_key text not null,
  body_hash bytea not null,
  description text not null,
  campaign text,
  amount bigint not null,
  expires_at timestamp with time zone,
  actor text not null,
  recipients integer not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  completed_at timestamp with time zone,
  constraint flux_grant_batch_idempotency_key_key UNIQUE (idempotency_key),
  constraint flux_grant_batch_pkey PRIMARY KEY (id),
  constraint flux_grant_batch_amount_check CHECK ((amount > 0)),
  constraint flux_grant_batch_body_hash_check CHECK ((length(body_hash) = 32)),
  constraint flux_grant_batch_campaign_check CHECK (((length(campaign) >= 1) AND (length(campaign) <= 100))),
  constraint flux_grant_batch_description_check CHECK (((length(description) >= 1) AND (length(description) <= 500))),
  constraint flux_grant_batch_id_check CHECK ((id ~ '^fgb_[0-9a-f]{32}$'::text)),
  constraint flux_grant_batch_idempotency_key_check CHECK (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))),
  constraint flux_grant_batch_recipients_check CHECK (((recipients >= 1) AND (recipients <= 10000)))
);

create table flux_grant_recipient (
  batch_id text not null,
  project_id text not null,
  ref uuid not null,
  taken_back uuid,
  at timestamp with time zone default clock_timestamp() not null,
  constraint flux_grant_recipient_ref_key UNIQUE (ref),
  constraint flux_grant_recipient_taken_back_key UNIQUE (taken_back),
  constraint flux_grant_recipient_pkey PRIMARY KEY (batch_id, project_id)
);

create table gateway_slot (
  slot smallint not null,
  epoch bigint not null,
  instance text not null,
  released boolean default false not null,
  heartbeat_at timestamp with time zone not null,
  constraint gateway_slot_pkey PRIMARY KEY (slot),
  constraint gateway_slot_slot_check CHECK (((slot >= 1) AND (slot <= 10000)))
);

create table hold (
  request_id uuid not null,
  attempt uuid not null,
  wallet_id bigint not null,
  seq bigint not null,
  amount bigint not null,
  accrued bigint default 0 not null,
  accrued_usage text default '{}'::text not null,
  extension bigint default 0 not null,
  extended bigint default 0 not null,
  slot smallint not null,
  epoch bigint not null,
  body_hash bytea not null,
  context text not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  budgets bigint[],
  budget_periods timestamp with time zone[],
  constraint hold_pkey PRIMARY KEY (request_id),
  constraint hold_amount_check CHECK (((amount >= 0) AND (amount <= '1000000000000'::bigint))),
  constraint hold_check CHECK (((accrued >= 0) AND (accrued <= amount)))
) with (fillfactor=70);

create table import_key (
  import text not null,
  hash bytea not null,
  project_id text not null,
  key_id text not null,
  refused text,
  constraint import_key_pkey PRIMARY KEY (import, hash),
  constraint import_key_hash_check CHECK ((length(hash) = 32))
);

create table import_phase (
  import text not null,
  phase text not null,
  ok boolean not null,
  finished_at timestamp with time zone default clock_timestamp() not null,
  report text not null,
  constraint import_phase_pkey PRIMARY KEY (import, phase),
  constraint import_phase_phase_check CHECK ((phase = ANY (ARRAY['plan'::text, 'expand'::text, 'backfill'::text, 'verify'::text, 'switch'::text, 'contract'::text])))
);

create table import_progress (
  import text not null,
  relation text not null,
  pass integer default 0 not null,
  last text,
  copied bigint default 0 not null,
  counts text default '{}'::text not null,
  constraint import_progress_pkey PRIMARY KEY (import, relation)
);

create table import_quarantine (
  import text not null,
  relation text not null,
  source_id text not null,
  reason text not null,
  project_id text,
  input_tokens numeric,
  output_tokens numeric,
  cost numeric,
  "row" text not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint import_quarantine_pkey PRIMARY KEY (import, relation, source_id),
  constraint import_quarantine_reason_check CHECK ((reason ~ '^[a-z][a-z_]{1,63}$'::text))
);

create table import_repair (
  import text not null,
  relation text not null,
  source_id text not null,
  what text not null,
  original text,
  constraint import_repair_pkey PRIMARY KEY (import, relation, source_id, what),
  constraint import_repair_what_check CHECK ((what ~ '^[a-z][a-z_]{1,63}$'::text))
);

create table import_run (
  name text not null,
  system text not null,
  source text not null,
  time_zone text not null,
  started_at timestamp with time zone default clock_timestamp() not null,
  serving_since timestamp with time zone,
  contracted_at timestamp with time zone,
  constraint import_run_pkey PRIMARY KEY (name),
  constraint import_run_name_check CHECK ((name ~ '^[a-z][a-z0-9_-]{0,31}$'::text)),
  constraint import_run_system_check CHECK ((system = ANY (ARRAY['llmring'::text, 'airi'::text])))
);

create table import_tenant (
  import text not null,
  kind text not null,
  source_hash bytea not null,
  project_id text not null,
  constraint import_tenant_pkey PRIMARY KEY (import, kind, source_hash),
  constraint import_tenant_kind_check CHECK ((kind = ANY (ARRAY['key'::text, 'project'::text, 'none'::text]))),
  constraint import_tenant_source_hash_check CHECK ((length(source_hash) = 32))
);

create table imported_airi_balance (
  import text not null,
  user_id text not null,
  project_id text not null,
  flux bigint not null,
  ledger_flux numeric not null,
  deleted_at timestamp with time zone,
  updated_at timestamp with time zone,
  ref uuid,
  constraint imported_airi_balance_pkey PRIMARY KEY (import, user_id)
);

create table imported_airi_flux_transaction (
  import text not null,
  id text not null,
  user_id text not null,
  type text not null,
  amount bigint not null,
  balance_before bigint not null,
  balance_after bigint not null,
  request_id text,
  description text,
  metadata text,
  created_at timestamp with time zone,
  constraint imported_airi_flux_transaction_pkey PRIMARY KEY (import, id)
);

create table key_change (
  revision bigint generated always as identity not null,
  hash bytea not null,
  changed_at timestamp with time zone default clock_timestamp() not null,
  constraint key_change_pkey PRIMARY KEY (revision),
  constraint key_change_hash_check CHECK ((length(hash) = 32))
);

create table legacy_receipt (
  receipt_id text not null,
  project_id text not null,
  payload text not null,
  signature text not null,
  key_id text,
  unsigned text default '{}'::text not null,
  alias_name text,
  model_used text,
  issued_at timestamp with time zone not null,
  imported_at timestamp with time zone default now() not null,
  constraint legacy_receipt_pkey PRIMARY KEY (receipt_id),
  constraint legacy_receipt_receipt_id_check CHECK (((length(receipt_id) >= 1) AND (length(receipt_id) <= 255)))
);

create table legacy_receipt_key (
  key_id text not null,
  public_key bytea not null,
  added_at timestamp with time zone default now() not null,
  constraint legacy_receipt_key_public_key_key UNIQUE (public_key),
  constraint legacy_receipt_key_pkey PRIMARY KEY (key_id),
  constraint legacy_receipt_key_key_id_check CHECK (((length(key_id) >= 1) AND (length(key_id) <= 255))),
  constraint legacy_receipt_key_public_key_check CHECK ((length(public_key) = 32))
);

create table log_checkpoint (
  log_id smallint not null,
  size bigint not null,
  root bytea not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint log_checkpoint_pkey PRIMARY KEY (log_id, size),
  constraint log_checkpoint_root_check CHECK ((length(root) = 32))
);

create table log_cosignature (
  log_id smallint not null,
  size bigint not null,
  witness text not null,
  line text not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint log_cosignature_pkey PRIMARY KEY (log_id, size, witness),
  constraint log_cosignature_line_check CHECK (((length(line) >= 1) AND (length(line) <= 1000))),
  constraint log_cosignature_witness_check CHECK (((length(witness) >= 1) AND (length(witness) <= 300)))
);

create table log_head (
  log_id smallint generated always as identity not null,
  origin text not null,
  public_key bytea not null,
  size bigint not null,
  frontier bytea not null,
  root bytea not null,
  checkpoint text not null,
  at timestamp with time zone default clock_timestamp() not null,
  ended_at timestamp with time zone,
  end_reason text,
  constraint log_head_origin_key UNIQUE (origin),
  constraint log_head_pkey PRIMARY KEY (log_id),
  constraint log_head_check CHECK ((length(frontier) = (32 * bit_count(int8send(size))))),
  constraint log_head_check1 CHECK (((ended_at IS NULL) = (end_reason IS NULL))),
  constraint log_head_end_reason_check CHECK (((length(end_reason) >= 1) AND (length(end_reason) <= 500))),
  constraint log_head_origin_check CHECK ((origin ~ '^[!-*,-~]{1,255}$'::text)),
  constraint log_head_public_key_check CHECK ((length(public_key) = 32)),
  constraint log_head_root_check CHECK ((length(root) = 32)),
  constraint log_head_size_check CHECK (((size >= 0) AND (size <= '9007199254740991'::bigint)))
);

create table log_leaf (
  log_id smallint not null,
  idx bigint not null,
  batch_id uuid not null,
  root bytea not null,
  constraint log_leaf_log_id_batch_id_key UNIQUE (log_id, batch_id),
  constraint log_leaf_pkey PRIMARY KEY (log_id, idx),
  constraint log_leaf_idx_check CHECK ((idx >= 0)),
  constraint log_leaf_root_check CHECK ((length(root) = 32))
);

create table log_queue (
  seq bigint generated always as identity not null,
  batch_id uuid not null,
  queued_at timestamp with time zone default clock_timestamp() not null,
  constraint log_queue_pkey PRIMARY KEY (seq)
);

create table oauth_access_token (
  id text not null,
  token text not null,
  client_id text not null,
  session_id text not null,
  user_id text not null,
  reference_id text,
  authorization_code_id text,
  resources text,
  requested_user_info_claims text,
  refresh_id text,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  revoked timestamp with time zone,
  confirmation jsonb,
  scopes text not null,
  constraint oauth_access_token_token_key UNIQUE (token),
  constraint oauth_access_token_pkey PRIMARY KEY (id)
);

create table oauth_client (
  id text not null,
  client_id text not null,
  constraint oauth_client_client_id_key UNIQUE (client_id),
  constraint oauth_client_pkey PRIMARY KEY (id),
  constraint oauth_client_check CHECK (false)
);

create table oauth_refresh_token (
  id text not null,
  token text not null,
  client_id text not null,
  session_id text not null,
  user_id text not null,
  reference_id text,
  authorization_code_id text,
  resources text,
  requested_user_info_claims text,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  revoked timestamp with time zone,
  rotated_at timestamp with time zone,
  rotation_replay_response text,
  rotation_replay_expires_at timestamp with time zone,
  auth_time timestamp with time zone,
  confirmation jsonb,
  scopes text not null,
  constraint oauth_refresh_token_token_key UNIQUE (token),
  constraint oauth_refresh_token_pkey PRIMARY KEY (id)
);

create table oauth_resource (
  id text not null,
  identifier text not null,
  constraint oauth_resource_identifier_key UNIQUE (identifier),
  constraint oauth_resource_pkey PRIMARY KEY (id)
);

create table operator_event (
  id uuid not null,
  type text not null,
  at timestamp with time zone default clock_timestamp() not null,
  data text not null,
  spread boolean default false not null,
  constraint operator_event_pkey PRIMARY KEY (id),
  constraint operator_event_data_check CHECK ((octet_length(data) <= 16384)),
  constraint operator_event_type_check CHECK ((type ~ '^[a-z_]+(\.[a-z_]+)+$'::text))
);

create table payment (
  id text not null,
  kind text not null,
  project_id text not null,
  wallet_id bigint not null,
  ref uuid not null,
  lot_id bigint not null,
  rolled_lot_id bigint,
  subscription_id text,
  intent_id text,
  amount bigint not null,
  charged_minor bigint not null,
  currency text not null,
  reversed bigint default 0 not null,
  owed bigint default 0 not null,
  changes integer default 0 not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  constraint payment_ref_key UNIQUE (ref),
  constraint payment_pkey PRIMARY KEY (id),
  constraint payment_amount_check CHECK ((amount > 0)),
  constraint payment_charged_minor_check CHECK ((charged_minor >= 0)),
  constraint payment_check CHECK (((reversed >= 0) AND (reversed <= amount))),
  constraint payment_check1 CHECK (((owed >= 0) AND (owed <= reversed))),
  constraint payment_id_check CHECK ((length(id) <= 255)),
  constraint payment_kind_check CHECK ((kind = ANY (ARRAY['top_up'::text, 'subscription'::text, 'auto_top_up'::text])))
);

create table payment_cash (
  transaction_id text not null,
  payment_id text not null,
  kind text not null,
  amount bigint not null,
  currency text not null,
  at timestamp with time zone not null,
  constraint payment_cash_pkey PRIMARY KEY (transaction_id),
  constraint payment_cash_kind_check CHECK ((kind = ANY (ARRAY['charge'::text, 'refund'::text, 'dispute'::text]))),
  constraint payment_cash_transaction_id_check CHECK ((length(transaction_id) <= 255))
);

create table payment_proration (
  invoice_id text not null,
  payment_id text not null,
  amount bigint not null,
  constraint payment_proration_pkey PRIMARY KEY (invoice_id),
  constraint payment_proration_amount_check CHECK ((amount > 0))
);

create table project (
  id text not null,
  name text not null,
  wallet_id bigint not null,
  created_at timestamp with time zone default now() not null,
  description text,
  content_logging text default 'none'::text not null,
  content_retention_days integer default 30 not null,
  personal boolean default false not null,
  user_id text,
  low_balance_nanousd bigint,
  low_since timestamp with time zone,
  allowed_models text[],
  low_mailed_at timestamp with time zone,
  rate_limits text,
  welcomed boolean default false not null,
  owner_lost_at timestamp with time zone,
  constraint project_name_key UNIQUE (name),
  constraint project_user_id_key UNIQUE (user_id),
  constraint project_wallet_id_key UNIQUE (wallet_id),
  constraint project_pkey PRIMARY KEY (id),
  constraint project_allowed_models_check CHECK ((((cardinality(allowed_models) >= 1) AND (cardinality(allowed_models) <= 200)) AND (array_position(allowed_models, NULL::text) IS NULL))),
  constraint project_check CHECK ((personal OR (user_id IS NULL))),
  constraint project_check1 CHECK (((owner_lost_at IS NULL) OR (NOT personal))),
  constraint project_content_logging_check CHECK ((content_logging = ANY (ARRAY['none'::text, 'metadata'::text, 'full'::text]))),
  constraint project_content_retention_days_check CHECK (((content_retention_days >= 1) AND (content_retention_days <= 3650))),
  constraint project_description_check CHECK (((length(description) >= 1) AND (length(description) <= 500))),
  constraint project_id_check CHECK ((id ~ '^prj_[0-9a-z]{16,32}$'::text)),
  constraint project_low_balance_nanousd_check CHECK (((low_balance_nanousd >= 1) AND (low_balance_nanousd <= '1000000000000000000'::bigint))),
  constraint project_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
  constraint project_rate_limits_check CHECK ((octet_length(rate_limits) <= 1000))
);

create table project_invitation (
  id text not null,
  project_id text not null,
  email text not null,
  role text not null,
  invited_by text not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  expires_at timestamp with time zone not null,
  constraint project_invitation_project_id_email_key UNIQUE (project_id, email),
  constraint project_invitation_pkey PRIMARY KEY (id),
  constraint project_invitation_email_check CHECK (((email = lower(email)) AND ((length(email) >= 3) AND (length(email) <= 254)))),
  constraint project_invitation_id_check CHECK ((id ~ '^inv_[a-z2-7]{20}$'::text)),
  constraint project_invitation_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'editor'::text, 'viewer'::text])))
);

create table project_member (
  project_id text not null,
  user_id text not null,
  role text not null,
  created_at timestamp with time zone default now() not null,
  constraint project_member_pkey PRIMARY KEY (project_id, user_id),
  constraint project_member_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'editor'::text, 'viewer'::text])))
);

create table rate_lease (
  subject text not null,
  id text not null,
  expires_at timestamp with time zone not null,
  constraint rate_lease_pkey PRIMARY KEY (subject, id)
);

create table rate_window (
  subject text not null,
  minute bigint not null,
  requests bigint not null,
  tokens bigint not null,
  constraint rate_window_pkey PRIMARY KEY (subject)
) with (fillfactor=50);

create table receipt_batch (
  batch_id uuid not null,
  key_id text not null,
  leaves bytea not null,
  root bytea not null,
  sig bytea not null,
  settled_at timestamp with time zone not null,
  constraint receipt_batch_pkey PRIMARY KEY (batch_id),
  constraint receipt_batch_leaves_check CHECK (((length(leaves) > 0) AND ((length(leaves) % 32) = 0))),
  constraint receipt_batch_root_check CHECK ((length(root) = 32)),
  constraint receipt_batch_sig_check CHECK ((length(sig) = 64))
);

create table receipt_key (
  key_id text not null,
  public_key bytea not null,
  not_before timestamp with time zone default now() not null,
  not_after timestamp with time zone,
  revoked_at timestamp with time zone,
  revoked_reason text,
  constraint receipt_key_pkey PRIMARY KEY (key_id),
  constraint receipt_key_key_id_check CHECK ((key_id ~ '^rk_[0-9a-f]{16}$'::text)),
  constraint receipt_key_public_key_check CHECK ((length(public_key) = 32)),
  constraint receipt_key_revoked_reason_check CHECK (((length(revoked_reason) >= 1) AND (length(revoked_reason) <= 500)))
);

create table registry_published (
  source text not null,
  provider text not null,
  asked_at timestamp with time zone not null,
  answered_at timestamp with time zone,
  etag text,
  content text,
  constraint registry_published_pkey PRIMARY KEY (source, provider),
  constraint registry_published_content_check CHECK ((octet_length(content) <= 4194304)),
  constraint registry_published_etag_check CHECK ((length(etag) <= 200)),
  constraint registry_published_provider_check CHECK ((provider ~ '^[a-z0-9][a-z0-9-]{0,99}$'::text)),
  constraint registry_published_source_check CHECK (((length(source) >= 1) AND (length(source) <= 2000)))
);

create table registry_version (
  name text not null,
  version integer not null,
  digest bytea not null,
  content text not null,
  updated_at timestamp with time zone not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  constraint registry_version_name_digest_key UNIQUE (name, digest),
  constraint registry_version_pkey PRIMARY KEY (name, version),
  constraint registry_version_content_check CHECK ((octet_length(content) <= 16777216)),
  constraint registry_version_digest_check CHECK ((length(digest) = 32)),
  constraint registry_version_name_check CHECK (((name = '*'::text) OR (name ~ '^[a-z0-9][a-z0-9-]{0,99}$'::text))),
  constraint registry_version_version_check CHECK ((version > 0))
);

create table reported_log (
  id uuid not null,
  wallet_id bigint not null,
  project_id text not null,
  key_id text not null,
  body_hash bytea not null,
  occurred_at timestamp with time zone not null,
  received_at timestamp with time zone default clock_timestamp() not null,
  provider text not null,
  model text not null,
  alias_name text,
  profile text default 'default'::text not null,
  origin text,
  id_at_origin text,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cached_input_tokens bigint default 0 not null,
  usage text not null,
  latency_ms bigint,
  cost bigint,
  cost_status text not null,
  price_book text,
  reported_cost numeric,
  metadata text default '{}'::text not null,
  conversation_id uuid,
  imported_from text,
  constraint reported_log_pkey PRIMARY KEY (id),
  constraint reported_log_alias_name_check CHECK (((length(alias_name) >= 1) AND (length(alias_name) <= 255))),
  constraint reported_log_body_hash_check CHECK ((length(body_hash) = ANY (ARRAY[0, 32]))),
  constraint reported_log_check CHECK (((cached_input_tokens >= 0) AND (cached_input_tokens <= input_tokens))),
  constraint reported_log_check1 CHECK (((cost IS NULL) = (cost_status <> ALL (ARRAY['priced'::text, 'imported'::text])))),
  constraint reported_log_cost_check CHECK ((cost >= 0)),
  constraint reported_log_cost_status_check CHECK ((cost_status ~ '^[a-z][a-z_]{1,63}$'::text)),
  constraint reported_log_id_at_origin_check CHECK (((length(id_at_origin) >= 1) AND (length(id_at_origin) <= 255))),
  constraint reported_log_input_tokens_check CHECK ((input_tokens >= 0)),
  constraint reported_log_latency_ms_check CHECK ((latency_ms >= 0)),
  constraint reported_log_metadata_check CHECK ((octet_length(metadata) <= 65536)),
  constraint reported_log_model_check CHECK (((length(model) >= 1) AND (length(model) <= 255))),
  constraint reported_log_origin_check CHECK (((length(origin) >= 1) AND (length(origin) <= 255))),
  constraint reported_log_output_tokens_check CHECK ((output_tokens >= 0)),
  constraint reported_log_profile_check CHECK (((length(profile) >= 1) AND (length(profile) <= 255))),
  constraint reported_log_provider_check CHECK (((length(provider) >= 1) AND (length(provider) <= 255))),
  constraint reported_log_reported_cost_check CHECK ((reported_cost >= (0)::numeric)),
  constraint reported_log_usage_check CHECK ((octet_length(usage) <= 1024))
);

create table request_log (
  request_id uuid not null,
  wallet_id bigint not null,
  seq bigint not null,
  outcome smallint not null,
  charged bigint not null,
  absorbed bigint not null,
  cost bigint not null,
  key_id text not null,
  alias_name text,
  profile text,
  origin text,
  provider text not null,
  model text not null,
  usage_source smallint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  attempts smallint not null,
  body_hash bytea not null,
  started_at timestamp with time zone not null,
  settled_at timestamp with time zone not null,
  batch_id uuid not null,
  pos smallint not null,
  receipt text not null,
  project_id text,
  model_used text,
  constraint request_log_batch_id_pos_key UNIQUE (batch_id, pos),
  constraint request_log_wallet_id_seq_key UNIQUE (wallet_id, seq),
  constraint request_log_pkey PRIMARY KEY (request_id),
  constraint request_log_absorbed_check CHECK ((absorbed >= 0)),
  constraint request_log_attempts_check CHECK ((attempts >= 0)),
  constraint request_log_charged_check CHECK ((charged >= 0)),
  constraint request_log_cost_check CHECK ((cost >= 0)),
  constraint request_log_input_tokens_check CHECK ((input_tokens >= 0)),
  constraint request_log_outcome_check CHECK (((outcome >= 1) AND (outcome <= 6))),
  constraint request_log_output_tokens_check CHECK ((output_tokens >= 0)),
  constraint request_log_pos_check CHECK ((pos >= 0)),
  constraint request_log_usage_source_check CHECK (((usage_source >= 1) AND (usage_source <= 4)))
);

create table router_config (
  version bigint not null,
  config text not null,
  digest text not null,
  author text not null,
  reason text not null,
  parent bigint not null,
  rollback_of bigint,
  created_at timestamp with time zone default clock_timestamp() not null,
  constraint router_config_pkey PRIMARY KEY (version),
  constraint router_config_author_check CHECK (((length(author) >= 1) AND (length(author) <= 100))),
  constraint router_config_check CHECK (((parent >= 0) AND (parent < version))),
  constraint router_config_config_check CHECK ((octet_length(config) <= 4194304)),
  constraint router_config_digest_check CHECK ((digest ~ '^sha256:[0-9a-f]{64}$'::text)),
  constraint router_config_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 500))),
  constraint router_config_version_check CHECK ((version > 0))
);

create table schema_migration (
  id integer not null,
  name text not null,
  checksum text not null,
  applied_at timestamp with time zone default now() not null,
  constraint schema_migration_pkey PRIMARY KEY (id)
);

create table setting (
  version bigint not null,
  key text not null,
  value text,
  author text not null,
  reason text not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  constraint setting_pkey PRIMARY KEY (version),
  constraint setting_author_check CHECK (((length(author) >= 1) AND (length(author) <= 100))),
  constraint setting_key_check CHECK (((length(key) >= 1) AND (length(key) <= 100))),
  constraint setting_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 500))),
  constraint setting_value_check CHECK ((octet_length(value) <= 1048576)),
  constraint setting_version_check CHECK ((version > 0))
);

create table signed_document (
  id text not null,
  kind text not null,
  wallet_id bigint,
  project_id text,
  period text,
  issued_at timestamp with time zone not null,
  batch_id uuid not null,
  pos integer not null,
  document text not null,
  constraint signed_document_batch_id_pos_key UNIQUE (batch_id, pos),
  constraint signed_document_pkey PRIMARY KEY (id),
  constraint signed_document_document_check CHECK ((octet_length(document) <= 262144)),
  constraint signed_document_id_check CHECK ((id ~ '^(crt|stm|kms)_[0-9a-f]{32}$'::text)),
  constraint signed_document_kind_check CHECK ((kind = ANY (ARRAY['certificate'::text, 'statement'::text, 'keys'::text]))),
  constraint signed_document_period_check CHECK (((length(period) >= 1) AND (length(period) <= 32))),
  constraint signed_document_pos_check CHECK ((pos >= 0))
);

create table stored_outcome (
  request_id uuid not null,
  expires_at timestamp with time zone not null,
  sealed bytea not null,
  constraint stored_outcome_pkey PRIMARY KEY (request_id)
);

create table stripe_customer (
  id text not null,
  project_id text not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  constraint stripe_customer_project_id_key UNIQUE (project_id),
  constraint stripe_customer_pkey PRIMARY KEY (id),
  constraint stripe_customer_id_check CHECK ((id ~ '^cus_\w{1,250}$'::text))
);

create table stripe_event (
  id text not null,
  type text not null,
  object_id text not null,
  object_type text not null,
  customer_id text,
  received_at timestamp with time zone default clock_timestamp() not null,
  applied_at timestamp with time zone,
  attempts integer default 0 not null,
  next_attempt_at timestamp with time zone default (clock_timestamp() + '00:00:30'::interval) not null,
  last_error text,
  constraint stripe_event_pkey PRIMARY KEY (id),
  constraint stripe_event_customer_id_check CHECK ((length(customer_id) <= 255)),
  constraint stripe_event_id_check CHECK ((length(id) <= 255)),
  constraint stripe_event_last_error_check CHECK ((length(last_error) <= 500)),
  constraint stripe_event_object_id_check CHECK ((length(object_id) <= 255)),
  constraint stripe_event_object_type_check CHECK ((length(object_type) <= 100)),
  constraint stripe_event_type_check CHECK ((length(type) <= 255))
);

create table stripe_invoice (
  id text not null,
  project_id text not null,
  subscription_id text,
  status text not null,
  amount_due bigint not null,
  amount_paid bigint not null,
  currency text not null,
  hosted_url text,
  pdf_url text,
  period_start timestamp with time zone,
  period_end timestamp with time zone,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone default clock_timestamp() not null,
  constraint stripe_invoice_pkey PRIMARY KEY (id),
  constraint stripe_invoice_id_check CHECK ((length(id) <= 255))
);

create table stripe_order (
  session_id text not null,
  project_id text not null,
  mode text not null,
  price_id text not null,
  flux bigint not null,
  status text not null,
  payment_status text not null,
  amount_total bigint,
  currency text,
  payment_intent_id text,
  subscription_id text,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone default clock_timestamp() not null,
  constraint stripe_order_pkey PRIMARY KEY (session_id),
  constraint stripe_order_flux_check CHECK ((flux > 0)),
  constraint stripe_order_mode_check CHECK ((mode = ANY (ARRAY['payment'::text, 'subscription'::text]))),
  constraint stripe_order_session_id_check CHECK ((length(session_id) <= 255))
);

create table stripe_subscription (
  id text not null,
  project_id text not null,
  price_id text,
  status text not null,
  current_period_start timestamp with time zone,
  current_period_end timestamp with time zone,
  cancel_at_period_end boolean not null,
  canceled_at timestamp with time zone,
  ended_at timestamp with time zone,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone default clock_timestamp() not null,
  constraint stripe_subscription_pkey PRIMARY KEY (id),
  constraint stripe_subscription_id_check CHECK ((length(id) <= 255))
);

create table transfer (
  ref uuid not null,
  leg smallint not null,
  code smallint not null,
  debit bigint not null,
  credit bigint not null,
  asset smallint not null,
  amount bigint not null,
  reverses uuid,
  at timestamp with time zone default clock_timestamp() not null,
  constraint transfer_pkey PRIMARY KEY (ref, leg),
  constraint transfer_amount_check CHECK ((amount > 0)),
  constraint transfer_check CHECK ((debit <> credit))
);

create table usage_15m (
  wallet_id bigint not null,
  bucket timestamp with time zone not null,
  series uuid not null,
  calls bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  charged bigint not null,
  absorbed bigint not null,
  cost bigint not null,
  unpriced bigint default 0 not null,
  constraint usage_15m_pkey PRIMARY KEY (wallet_id, bucket, series),
  constraint usage_15m_addable CHECK ((GREATEST(input_tokens, output_tokens, cost) < '2305843009213693952'::bigint))
) with (fillfactor=70);

create table usage_1h (
  wallet_id bigint not null,
  hour timestamp with time zone not null,
  series uuid not null,
  calls bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  charged bigint not null,
  cost bigint not null,
  unpriced bigint not null,
  constraint usage_1h_pkey PRIMARY KEY (wallet_id, hour, series)
);

create table usage_fold (
  single boolean default true not null,
  until timestamp with time zone not null,
  constraint usage_fold_pkey PRIMARY KEY (single),
  constraint usage_fold_single_check CHECK (single)
);

create table usage_series (
  id uuid not null,
  wallet_id bigint not null,
  project_id text,
  key_id text not null,
  source smallint not null,
  provider text not null,
  model text not null,
  model_used text,
  alias_name text,
  profile text,
  origin text,
  constraint usage_series_pkey PRIMARY KEY (id),
  constraint usage_series_source_check CHECK ((source = ANY (ARRAY[1, 2])))
);

create table wallet (
  id bigint generated always as identity not null,
  account text not null,
  asset smallint default 1 not null,
  posted bigint default 0 not null,
  held bigint default 0 not null,
  seq bigint default 0 not null,
  version bigint default 0 not null,
  next_expiry timestamp with time zone,
  frozen boolean default false not null,
  budgeted boolean default false not null,
  constraint wallet_account_key UNIQUE (account),
  constraint wallet_pkey PRIMARY KEY (id),
  constraint wallet_account_check CHECK (((length(account) = 36) AND ("left"(account, 4) = 'acc_'::text))),
  constraint wallet_check CHECK ((posted >= held)),
  constraint wallet_held_check CHECK ((held >= 0))
) with (fillfactor=50);

create table webhook_attempt (
  delivery_id uuid not null,
  number integer not null,
  at timestamp with time zone default clock_timestamp() not null,
  took_ms integer not null,
  status integer,
  error text,
  constraint webhook_attempt_pkey PRIMARY KEY (delivery_id, number),
  constraint webhook_attempt_error_check CHECK ((octet_length(error) <= 2000))
);

create table webhook_delivery (
  id uuid default gen_random_uuid() not null,
  endpoint_id text not null,
  event_id uuid not null,
  state text default 'pending'::text not null,
  attempts integer default 0 not null,
  tries integer default 0 not null,
  next_attempt_at timestamp with time zone default clock_timestamp() not null,
  claim uuid,
  last_status integer,
  last_error text,
  created_at timestamp with time zone default clock_timestamp() not null,
  delivered_at timestamp with time zone,
  constraint webhook_delivery_event_id_endpoint_id_key UNIQUE (event_id, endpoint_id),
  constraint webhook_delivery_pkey PRIMARY KEY (id),
  constraint webhook_delivery_attempts_check CHECK ((attempts >= 0)),
  constraint webhook_delivery_check CHECK (((state = 'delivered'::text) = (delivered_at IS NOT NULL))),
  constraint webhook_delivery_last_error_check CHECK ((octet_length(last_error) <= 2000)),
  constraint webhook_delivery_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text, 'discarded'::text]))),
  constraint webhook_delivery_tries_check CHECK ((tries >= 0))
);

create table webhook_endpoint (
  id text not null,
  url text not null,
  description text,
  event_types text[],
  secret text not null,
  secret_previous text,
  previous_until timestamp with time zone,
  enabled boolean default true not null,
  disabled_reason text,
  failing_since timestamp with time zone,
  created_at timestamp with time zone default now() not null,
  constraint webhook_endpoint_pkey PRIMARY KEY (id),
  constraint webhook_endpoint_check CHECK (((secret_previous IS NULL) = (previous_until IS NULL))),
  constraint webhook_endpoint_check1 CHECK (((NOT enabled) OR (disabled_reason IS NULL))),
  constraint webhook_endpoint_description_check CHECK (((length(description) >= 1) AND (length(description) <= 500))),
  constraint webhook_endpoint_disabled_reason_check CHECK (((length(disabled_reason) >= 1) AND (length(disabled_reason) <= 100))),
  constraint webhook_endpoint_event_types_check CHECK (((cardinality(event_types) >= 1) AND (cardinality(event_types) <= 100))),
  constraint webhook_endpoint_id_check CHECK ((id ~ '^whe_[a-z2-7]{20}$'::text)),
  constraint webhook_endpoint_url_check CHECK (((length(url) >= 1) AND (length(url) <= 2000)))
);

create table welcomed_person (
  email_digest bytea not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint welcomed_person_pkey PRIMARY KEY (email_digest),
  constraint welcomed_person_email_digest_check CHECK ((length(email_digest) = 32))
);

CREATE INDEX account_deletion_open ON fluxgate.account_deletion USING btree (next_at) WHERE (closed_at IS NULL);

CREATE INDEX account_lots ON fluxgate.account USING btree (wallet_id, priority, expires_at, id) WHERE ((kind = 1) AND open);

CREATE UNIQUE INDEX account_system ON fluxgate.account USING btree (kind, asset, slot) WHERE (wallet_id IS NULL);

CREATE INDEX account_wallet ON fluxgate.account USING btree (wallet_id) WHERE (kind = 1);

CREATE INDEX adjustment_wallet ON fluxgate.adjustment USING btree (wallet_id, created_at);

CREATE INDEX api_key_project ON fluxgate.api_key USING btree (project_id, created_at);

CREATE INDEX api_key_user ON fluxgate.api_key USING btree (user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX audit_event_at ON fluxgate.audit_event USING btree (at, id);

CREATE INDEX audit_event_subject ON fluxgate.audit_event USING btree (subject, at);

CREATE INDEX auth_account_user ON fluxgate.auth_account USING btree (user_id);

CREATE INDEX auth_session_expiry ON fluxgate.auth_session USING btree (expires_at);

CREATE INDEX auth_session_user ON fluxgate.auth_session USING btree (user_id);

CREATE INDEX auth_user_created ON fluxgate.auth_user USING btree (created_at, id);

CREATE INDEX auth_user_email_prefix ON fluxgate.auth_user USING btree (email text_pattern_ops);

CREATE INDEX auth_verification_expiry ON fluxgate.auth_verification USING btree (expires_at);

CREATE INDEX auth_verification_identifier ON fluxgate.auth_verification USING btree (identifier);

CREATE INDEX auto_top_up_month ON fluxgate.auto_top_up_attempt USING btree (project_id, created_at);

CREATE UNIQUE INDEX auto_top_up_pending ON fluxgate.auto_top_up_attempt USING btree (project_id) WHERE (state = 'pending'::text);

CREATE INDEX budget_active ON fluxgate.budget USING btree (wallet_id) WHERE active;

CREATE INDEX budget_charge_usage ON fluxgate.budget_charge USING btree (budget_id, period_start);

CREATE INDEX certificate_project ON fluxgate.certificate USING btree (project_id);

CREATE INDEX conversation_call_open ON fluxgate.conversation_call USING btree (key_id, created_at) WHERE (claimed_by IS NULL);

CREATE INDEX conversation_content ON fluxgate.conversation USING btree (project_id, updated_at) WHERE ((title IS NOT NULL) OR (system_prompt IS NOT NULL));

CREATE INDEX conversation_message_age ON fluxgate.conversation_message USING btree (project_id, at);

CREATE INDEX conversation_project ON fluxgate.conversation USING btree (project_id, updated_at DESC, id DESC);

CREATE INDEX external_identity_user ON fluxgate.external_identity USING btree (user_id);

CREATE INDEX flux_grant_batch_created ON fluxgate.flux_grant_batch USING btree (created_at DESC, id DESC);

CREATE INDEX hold_expiry ON fluxgate.hold USING btree (expires_at);

CREATE INDEX imported_airi_flux_transaction_user ON fluxgate.imported_airi_flux_transaction USING btree (import, user_id, created_at);

CREATE INDEX legacy_receipt_project ON fluxgate.legacy_receipt USING btree (project_id, issued_at, receipt_id);

CREATE UNIQUE INDEX log_head_kept ON fluxgate.log_head USING btree (((ended_at IS NULL))) WHERE (ended_at IS NULL);

CREATE INDEX oauth_access_token_code ON fluxgate.oauth_access_token USING btree (authorization_code_id);

CREATE INDEX oauth_access_token_expiry ON fluxgate.oauth_access_token USING btree (expires_at);

CREATE INDEX oauth_access_token_refresh ON fluxgate.oauth_access_token USING btree (refresh_id);

CREATE INDEX oauth_access_token_session ON fluxgate.oauth_access_token USING btree (session_id);

CREATE INDEX oauth_access_token_user ON fluxgate.oauth_access_token USING btree (user_id);

CREATE INDEX oauth_refresh_token_code ON fluxgate.oauth_refresh_token USING btree (authorization_code_id);

CREATE INDEX oauth_refresh_token_expiry ON fluxgate.oauth_refresh_token USING btree (expires_at);

CREATE INDEX oauth_refresh_token_session ON fluxgate.oauth_refresh_token USING btree (session_id);

CREATE INDEX oauth_refresh_token_user ON fluxgate.oauth_refresh_token USING btree (user_id, client_id);

CREATE INDEX operator_event_at ON fluxgate.operator_event USING btree (at, id);

CREATE INDEX operator_event_waiting ON fluxgate.operator_event USING btree (at, id) WHERE (NOT spread);

CREATE INDEX payment_cash_at ON fluxgate.payment_cash USING btree (at);

CREATE INDEX payment_cash_payment ON fluxgate.payment_cash USING btree (payment_id);

CREATE INDEX payment_intent ON fluxgate.payment USING btree (intent_id) WHERE (intent_id IS NOT NULL);

CREATE INDEX payment_owed ON fluxgate.payment USING btree (wallet_id) WHERE (owed > 0);

CREATE INDEX payment_proration_payment ON fluxgate.payment_proration USING btree (payment_id);

CREATE INDEX payment_subscription ON fluxgate.payment USING btree (subscription_id, created_at) WHERE (subscription_id IS NOT NULL);

CREATE INDEX payment_wallet ON fluxgate.payment USING btree (wallet_id, created_at);

CREATE INDEX project_invitation_email ON fluxgate.project_invitation USING btree (email);

CREATE INDEX project_invitation_expiry ON fluxgate.project_invitation USING btree (expires_at);

CREATE INDEX project_invitation_inviter ON fluxgate.project_invitation USING btree (invited_by);

CREATE INDEX project_low_balance ON fluxgate.project USING btree (id) WHERE (low_balance_nanousd IS NOT NULL);

CREATE INDEX project_member_user ON fluxgate.project_member USING btree (user_id);

CREATE INDEX project_owner_lost ON fluxgate.project USING btree (name) WHERE (owner_lost_at IS NOT NULL);

CREATE INDEX rate_lease_expiry ON fluxgate.rate_lease USING btree (expires_at);

CREATE INDEX reported_log_conversation ON fluxgate.reported_log USING btree (project_id, conversation_id, occurred_at, id) WHERE (conversation_id IS NOT NULL);

CREATE INDEX reported_log_project ON fluxgate.reported_log USING btree (project_id, occurred_at, id);

CREATE INDEX request_log_project ON fluxgate.request_log USING btree (project_id, settled_at, request_id);

CREATE INDEX setting_key ON fluxgate.setting USING btree (key, version DESC);

CREATE UNIQUE INDEX signed_document_keys ON fluxgate.signed_document USING btree (period) WHERE (kind = 'keys'::text);

CREATE UNIQUE INDEX signed_document_period ON fluxgate.signed_document USING btree (kind, wallet_id, period) WHERE (period IS NOT NULL);

CREATE INDEX signed_document_project ON fluxgate.signed_document USING btree (project_id, kind, issued_at, id);

CREATE INDEX signed_document_statement ON fluxgate.signed_document USING btree (period) WHERE (kind = 'statement'::text);

CREATE INDEX stored_outcome_expiry ON fluxgate.stored_outcome USING btree (expires_at);

CREATE INDEX stripe_event_open ON fluxgate.stripe_event USING btree (next_attempt_at) WHERE (applied_at IS NULL);

CREATE INDEX stripe_invoice_project ON fluxgate.stripe_invoice USING btree (project_id, created_at DESC, id DESC);

CREATE INDEX stripe_order_intent ON fluxgate.stripe_order USING btree (payment_intent_id) WHERE (payment_intent_id IS NOT NULL);

CREATE INDEX stripe_order_project ON fluxgate.stripe_order USING btree (project_id, created_at DESC, session_id DESC);

CREATE INDEX stripe_subscription_project ON fluxgate.stripe_subscription USING btree (project_id, created_at DESC, id DESC);

CREATE INDEX transfer_debit ON fluxgate.transfer USING btree (debit, at);

CREATE INDEX transfer_moved ON fluxgate.transfer USING btree (at) WHERE (code <> ALL (ARRAY[10, 20]));

CREATE INDEX transfer_reverses ON fluxgate.transfer USING btree (reverses) WHERE (reverses IS NOT NULL);

CREATE INDEX usage_15m_bucket ON fluxgate.usage_15m USING btree (bucket);

CREATE INDEX usage_1h_hour ON fluxgate.usage_1h USING btree (hour);

CREATE INDEX usage_series_project ON fluxgate.usage_series USING btree (project_id);

CREATE INDEX usage_series_wallet ON fluxgate.usage_series USING btree (wallet_id);

CREATE INDEX wallet_expiry ON fluxgate.wallet USING btree (next_expiry) WHERE (next_expiry IS NOT NULL);

CREATE INDEX webhook_delivery_due ON fluxgate.webhook_delivery USING btree (endpoint_id, next_attempt_at) WHERE (state = 'pending'::text);

CREATE INDEX webhook_delivery_listed ON fluxgate.webhook_delivery USING btree (endpoint_id, created_at, id);

alter table account add constraint account_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table account_deletion add constraint account_deletion_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table adjustment add constraint adjustment_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table api_key add constraint api_key_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table api_key add constraint api_key_rotated_to_fkey FOREIGN KEY (rotated_to) REFERENCES api_key(id);

alter table api_key add constraint api_key_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE SET NULL;

alter table auth_account add constraint auth_account_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE CASCADE;

alter table auth_session add constraint auth_session_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE CASCADE;

alter table auto_top_up add constraint auto_top_up_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table auto_top_up_attempt add constraint auto_top_up_attempt_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table budget add constraint budget_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table budget_charge add constraint budget_charge_budget_id_period_start_fkey FOREIGN KEY (budget_id, period_start) REFERENCES budget_usage(budget_id, period_start);

alter table budget_usage add constraint budget_usage_budget_id_fkey FOREIGN KEY (budget_id) REFERENCES budget(id);

alter table certificate add constraint certificate_document_id_fkey FOREIGN KEY (document_id) REFERENCES signed_document(id);

alter table certificate add constraint certificate_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table certified_log add constraint certified_log_document_id_fkey FOREIGN KEY (document_id) REFERENCES signed_document(id);

alter table certified_log add constraint certified_log_log_id_fkey FOREIGN KEY (log_id) REFERENCES reported_log(id);

alter table conversation add constraint conversation_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table conversation add constraint conversation_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table conversation_call add constraint conversation_call_call_id_fkey FOREIGN KEY (call_id) REFERENCES reported_log(id);

alter table conversation_call add constraint conversation_call_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES conversation(id);

alter table conversation_call add constraint conversation_call_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table conversation_message add constraint conversation_message_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES conversation(id);

alter table conversation_message add constraint conversation_message_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table conversation_message add constraint conversation_message_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table external_identity add constraint external_identity_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE CASCADE;

alter table flux_grant_recipient add constraint flux_grant_recipient_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES flux_grant_batch(id);

alter table flux_grant_recipient add constraint flux_grant_recipient_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table hold add constraint hold_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table import_key add constraint import_key_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table import_key add constraint import_key_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table import_phase add constraint import_phase_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table import_progress add constraint import_progress_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table import_quarantine add constraint import_quarantine_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table import_quarantine add constraint import_quarantine_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table import_repair add constraint import_repair_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table import_tenant add constraint import_tenant_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table import_tenant add constraint import_tenant_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table imported_airi_balance add constraint imported_airi_balance_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table imported_airi_balance add constraint imported_airi_balance_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table imported_airi_flux_transaction add constraint imported_airi_flux_transaction_import_fkey FOREIGN KEY (import) REFERENCES import_run(name);

alter table legacy_receipt add constraint legacy_receipt_key_id_fkey FOREIGN KEY (key_id) REFERENCES legacy_receipt_key(key_id);

alter table legacy_receipt add constraint legacy_receipt_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table log_checkpoint add constraint log_checkpoint_log_id_fkey FOREIGN KEY (log_id) REFERENCES log_head(log_id);

alter table log_cosignature add constraint log_cosignature_log_id_size_fkey FOREIGN KEY (log_id, size) REFERENCES log_checkpoint(log_id, size);

alter table log_leaf add constraint log_leaf_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES receipt_batch(batch_id);

alter table log_leaf add constraint log_leaf_log_id_fkey FOREIGN KEY (log_id) REFERENCES log_head(log_id);

alter table oauth_access_token add constraint oauth_access_token_refresh_id_fkey FOREIGN KEY (refresh_id) REFERENCES oauth_refresh_token(id) ON DELETE CASCADE;

alter table oauth_access_token add constraint oauth_access_token_session_id_fkey FOREIGN KEY (session_id) REFERENCES auth_session(id) ON DELETE CASCADE;

alter table oauth_access_token add constraint oauth_access_token_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE CASCADE;

alter table oauth_refresh_token add constraint oauth_refresh_token_session_id_fkey FOREIGN KEY (session_id) REFERENCES auth_session(id) ON DELETE CASCADE;

alter table oauth_refresh_token add constraint oauth_refresh_token_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE CASCADE;

alter table payment add constraint payment_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES account(id);

alter table payment add constraint payment_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table payment add constraint payment_rolled_lot_id_fkey FOREIGN KEY (rolled_lot_id) REFERENCES account(id);

alter table payment add constraint payment_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table payment_cash add constraint payment_cash_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payment(id);

alter table payment_proration add constraint payment_proration_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payment(id);

alter table project add constraint project_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE SET NULL;

alter table project add constraint project_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table project_invitation add constraint project_invitation_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES auth_user(id) ON DELETE CASCADE;

alter table project_invitation add constraint project_invitation_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table project_member add constraint project_member_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table project_member add constraint project_member_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth_user(id) ON DELETE CASCADE;

alter table reported_log add constraint reported_log_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table reported_log add constraint reported_log_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table request_log add constraint request_log_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES receipt_batch(batch_id);

alter table router_config add constraint router_config_rollback_of_fkey FOREIGN KEY (rollback_of) REFERENCES router_config(version);

alter table signed_document add constraint signed_document_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES receipt_batch(batch_id);

alter table signed_document add constraint signed_document_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table signed_document add constraint signed_document_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id);

alter table stripe_customer add constraint stripe_customer_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table stripe_invoice add constraint stripe_invoice_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table stripe_order add constraint stripe_order_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table stripe_subscription add constraint stripe_subscription_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

alter table transfer add constraint transfer_credit_asset_fkey FOREIGN KEY (credit, asset) REFERENCES account(id, asset);

alter table transfer add constraint transfer_debit_asset_fkey FOREIGN KEY (debit, asset) REFERENCES account(id, asset);

alter table usage_15m add constraint usage_15m_series_fkey FOREIGN KEY (series) REFERENCES usage_series(id);

alter table usage_1h add constraint usage_1h_series_fkey FOREIGN KEY (series) REFERENCES usage_series(id);

alter table webhook_attempt add constraint webhook_attempt_delivery_id_fkey FOREIGN KEY (delivery_id) REFERENCES webhook_delivery(id) ON DELETE CASCADE;

alter table webhook_delivery add constraint webhook_delivery_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoint(id) ON DELETE CASCADE;

alter table webhook_delivery add constraint webhook_delivery_event_id_fkey FOREIGN KEY (event_id) REFERENCES operator_event(id) ON DELETE CASCADE;

CREATE OR REPLACE FUNCTION fluxgate.account_guard()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if new.version <> old.version + 1 or new.debits < old.debits or new.credits < old.credits
     or (new.id, new.kind, new.asset, new.wallet_id, new.slot)
        is distinct from (old.id, old.kind, old.asset, old.wallet_id, old.slot) then
    raise exception 'account %: counters only grow, its owner stays', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.budget_period(p_period text, p_zone text, p_at timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$
  select case when p_period = 'total' then '-infinity' else date_trunc(p_period, p_at at time zone p_zone) at time zone p_zone end
$function$
;

CREATE OR REPLACE FUNCTION fluxgate.claim_back(p_slot smallint, p_payment text, p_total bigint, p_reason text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
declare
  v payment; v_lot account; v_asset smallint; v_free bigint; v_more bigint; v_taken bigint; v_expired bigint; v_owed bigint; v_new bigint;
  v_clearing bigint; v_receivable bigint; v_breakage bigint; v_ref uuid := gen_random_uuid(); v_wallet bigint;
begin
  select wallet_id into v_wallet from payment where id = p_payment;
  if not found then return 0; end if;
  perform 1 from wallet where id = v_wallet for no key update;
  perform expire_lots(p_slot, array[v_wallet]);
  select * into strict v from payment where id = p_payment;
  select w.asset, w.posted - w.held into v_asset, v_free from wallet w where w.id = v_wallet;
  select * into strict v_lot from account a where a.id = v.lot_id;
  v_more := p_total - v.reversed;
  if v_more = 0 then
    perform collect_owed(p_slot, v_wallet); -- calls that held money may have ended
    return 0;
  end if;
  select a.id into strict v_clearing from account a where a.kind = 3 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
  select a.id into strict v_receivable from account a where a.kind = 8 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;

  if v_more > 0 then
    v_taken := greatest(least(v_more, v_lot.credits - v_lot.debits, v_free), 0);
    if v_taken > 0 then
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 0, 13, v.lot_id, v_clearing, v_asset, v_taken, v.ref);
      insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
      values (v_ref, 'claw_back', v_wallet, v_taken, p_reason, 'stripe', sha256(convert_to(v_ref::text, 'UTF8')));
      update account a set debits = a.debits + v_taken, open = a.credits > a.debits + v_taken, version = a.version + 1
      where a.id = v.lot_id;
      update wallet w set posted = w.posted - v_taken, version = w.version + 1 where w.id = v_wallet;
    end if;
    -- Nobody owes for what expired unused.
    select least(v_more - v_taken, coalesce((select sum(t.amount) from transfer t where t.debit = v.lot_id and t.code = 3), 0)
             - coalesce((select sum(t.amount) from transfer t where t.reverses = v.ref and t.code = 19), 0))::bigint into v_expired;
    if v_expired > 0 then
      select a.id into strict v_breakage from account a
       where a.kind = 5 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 1, 19, v_breakage, v_clearing, v_asset, v_expired, v.ref);
      update account a set debits = a.debits + v_expired, version = a.version + 1 where a.id = v_breakage;
    end if;
    v_owed := v_more - v_taken - v_expired;
    if v_owed > 0 then
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 2, 14, v_receivable, v_clearing, v_asset, v_owed, v.ref);
      update account a set debits = a.debits + v_owed, version = a.version + 1 where a.id = v_receivable;
    end if;
    update account a set credits = a.credits + v_more, version = a.version + 1 where a.id = v_clearing;
    update payment p set reversed = p_total, owed = p.owed + v_owed, changes = p.changes + 1 where p.id = p_payment;
  else
    v_owed := least(v.owed, -v_more);
    if v_owed > 0 then
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 1, 17, v_clearing, v_receivable, v_asset, v_owed, v.ref);
      update account a set credits = a.credits + v_owed, version = a.version + 1 where a.id = v_receivable;
    end if;
    v_taken := -v_more - v_owed;
    if v_taken > 0 then
      insert into account (kind, asset, wallet_id, class, priority, expires_at, credits, version)
      values (1, v_asset, v_wallet, v_lot.class, v_lot.priority,
              case when v_lot.expires_at is not null then greatest(v_lot.expires_at, now() + interval '30 days') end, v_taken, 1)
      returning id into v_new;
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 0, 16, v_clearing, v_new, v_asset, v_taken, v.ref);
      insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
      values (v_ref, 'reinstatement', v_wallet, v_taken, p_reason, 'stripe', sha256(convert_to(v_ref::text, 'UTF8')));
      update wallet w set posted = w.posted + v_taken, version = w.version + 1,
             next_expiry = least(w.next_expiry, (select a.expires_at from account a where a.id = v_new))
      where w.id = v_wallet;
    end if;
    update account a set debits = a.debits - v_more, version = a.version + 1 where a.id = v_clearing;
    update payment p set reversed = p_total, owed = p.owed - v_owed, changes = p.changes + 1 where p.id = p_payment;
  end if;
  perform collect_owed(p_slot, v_wallet);
  return v_more;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.claim_slot(p_instance text, p_lease interval)
 RETURNS TABLE(slot smallint, epoch bigint)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare v_slot smallint; v_epoch bigint;
begin
  perform pg_advisory_xact_lock(hashtext('fluxgate gateway_slot'));
  select s.slot into v_slot from gateway_slot s
   where s.instance = p_instance
      or ((s.released or s.heartbeat_at < now() - 2 * p_lease) and not exists (select 1 from hold h where h.slot = s.slot))
   order by s.instance = p_instance desc, s.slot limit 1;
  if v_slot is null then
    select coalesce(max(s.slot), 0) + 1 into v_slot from gateway_slot s;
  end if;
  insert into gateway_slot as s (slot, epoch, instance, heartbeat_at) values (v_slot, 1, p_instance, now())
  on conflict (slot) do update
    set epoch = s.epoch + 1, instance = excluded.instance, released = false, heartbeat_at = excluded.heartbeat_at
  returning s.epoch into v_epoch;
  insert into account (kind, asset, slot) select k, 1, v_slot from unnest(array[2, 3, 4, 5, 6, 7, 8]) k
  on conflict do nothing;
  return query select v_slot, v_epoch;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.collect_owed(p_slot smallint, p_wallet bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
declare
  v_free bigint; v_asset smallint; v_owed bigint; v_take bigint; v_part bigint; v_step bigint; v_receivable bigint; v_ref uuid;
  v_leg smallint := 0; r record;
begin
  select coalesce(sum(p.owed), 0)::bigint into v_owed from payment p where p.wallet_id = p_wallet and p.owed > 0;
  select w.posted - w.held, w.asset into v_free, v_asset from wallet w where w.id = p_wallet;
  -- What is past its expiry is no money any more: it only waits for the calls that may still need it.
  select least(v_owed, v_free, coalesce(sum(a.credits - a.debits), 0))::bigint into v_take
  from account a where a.wallet_id = p_wallet and a.kind = 1 and a.open and (a.expires_at is null or a.expires_at > now());
  if v_take > 0 then
    v_ref := gen_random_uuid();
    select a.id into strict v_receivable from account a
     where a.kind = 8 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
    v_part := v_take;
    for r in select a.id, a.credits - a.debits as rest from account a
             where a.wallet_id = p_wallet and a.kind = 1 and a.open and a.credits > a.debits
               and (a.expires_at is null or a.expires_at > now())
             order by a.priority desc, a.expires_at desc nulls first, a.id desc loop
      exit when v_part = 0;
      v_step := least(r.rest, v_part);
      insert into transfer (ref, leg, code, debit, credit, asset, amount)
      values (v_ref, v_leg, 15, r.id, v_receivable, v_asset, v_step);
      update account a set debits = a.debits + v_step, open = r.rest > v_step, version = a.version + 1 where a.id = r.id;
      v_part := v_part - v_step;
      v_leg := v_leg + 1;
    end loop;
    insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
    values (v_ref, 'repayment', p_wallet, v_take, 'Owed since a payment was taken back', 'stripe', sha256(convert_to(v_ref::text, 'UTF8')));
    update account a set credits = a.credits + v_take, version = a.version + 1 where a.id = v_receivable;
    update wallet w set posted = w.posted - v_take, version = w.version + 1 where w.id = p_wallet;
    v_part := v_take;
    for r in select p.id, p.owed from payment p where p.wallet_id = p_wallet and p.owed > 0 order by p.created_at, p.id loop
      exit when v_part = 0;
      v_step := least(r.owed, v_part);
      update payment p set owed = p.owed - v_step where p.id = r.id;
      v_part := v_part - v_step;
    end loop;
  end if;
  update wallet w set frozen = f.frozen, version = w.version + 1
  from (select exists (select 1 from payment p where p.wallet_id = p_wallet and p.owed > 0)
            or exists (select 1 from project j where j.wallet_id = p_wallet and j.personal and j.user_id is null) as frozen) f
  where w.id = p_wallet and w.frozen <> f.frozen;
  return v_take;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.credit(p_slot smallint, p_ref uuid, p_wallet bigint, p_amount bigint, p_source smallint, p_class smallint, p_priority smallint, p_expires timestamp with time zone, p_reason text, p_actor text, p_body_hash bytea)
 RETURNS TABLE(status text, lot_id bigint)
 LANGUAGE plpgsql
AS $function$
declare v_lot bigint; v_asset smallint; v_source bigint; v_body bytea;
begin
  select w.asset into v_asset from wallet w where w.id = p_wallet for no key update;
  if not found then return query select 'no_wallet', null::bigint; return; end if;
  select a.body_hash into v_body from adjustment a where a.ref = p_ref;
  if found then
    select t.credit into v_lot from transfer t where t.ref = p_ref and t.leg = 0;
    return query select case when v_body = p_body_hash then 'already' else 'key_reused' end, v_lot;
    return;
  end if;
  select a.id into strict v_source from account a
   where a.kind = p_source and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
  insert into account (kind, asset, wallet_id, class, priority, expires_at, credits, version)
  values (1, v_asset, p_wallet, p_class, p_priority, p_expires, p_amount, 1) returning id into v_lot;
  insert into transfer (ref, leg, code, debit, credit, asset, amount)
  values (p_ref, 0, case p_source when 3 then 1 else 2 end, v_source, v_lot, v_asset, p_amount);
  insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
  values (p_ref, 'grant', p_wallet, p_amount, p_reason, p_actor, p_body_hash);
  update account set debits = debits + p_amount, version = version + 1 where id = v_source;
  update wallet set posted = posted + p_amount, version = version + 1, next_expiry = least(next_expiry, p_expires)
   where id = p_wallet;
  return query select 'credited', v_lot;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.credit_payment(p_slot smallint, p_payment text, p_kind text, p_project text, p_ref uuid, p_amount bigint, p_class smallint, p_priority smallint, p_expires timestamp with time zone, p_minor bigint, p_currency text, p_reason text, p_body_hash bytea)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
declare v_wallet bigint; v_lot bigint; v_status text; v_prior payment;
begin
  select wallet_id into v_wallet from project where id = p_project;
  if not found then return 'no_project'; end if;
  perform 1 from wallet where id = v_wallet for no key update;
  select * into v_prior from payment where id = p_payment;
  if found then
    return case when v_prior.amount = p_amount and v_prior.project_id = p_project then 'already' else 'key_reused' end;
  end if;
  select c.status, c.lot_id into v_status, v_lot
  from credit(p_slot, p_ref, v_wallet, p_amount, 3::smallint, p_class, p_priority, p_expires, p_reason, 'stripe', p_body_hash) c;
  if v_status <> 'credited' then
    raise exception 'payment % has a credit but no row', p_payment using errcode = 'integrity_constraint_violation';
  end if;
  insert into payment (id, kind, project_id, wallet_id, ref, lot_id, amount, charged_minor, currency)
  values (p_payment, p_kind, p_project, v_wallet, p_ref, v_lot, p_amount, p_minor, p_currency);
  perform collect_owed(p_slot, v_wallet);
  return 'credited';
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.enqueue_batch()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  insert into log_queue (batch_id) values (new.batch_id);
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.expire_lots(p_slot smallint, p_wallet bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  with w as (
    select id, posted - held as free from wallet where id = any (p_wallet) and next_expiry <= now()
  ), lot as (
    select a.id, a.wallet_id, a.asset, a.credits - a.debits as rest, w.free,
           (sum(a.credits - a.debits) over (partition by a.wallet_id order by a.expires_at, a.id))::bigint as hi
    from account a join w on w.id = a.wallet_id
    where a.kind = 1 and a.open and a.expires_at <= now()
  ), take as materialized (
    select *, least(hi, free) - least(hi - rest, free) as amount from lot
  ), moved as (
    insert into transfer (ref, leg, code, debit, credit, asset, amount)
    -- Without an account to credit this fails, rather than taking money and booking it nowhere.
    select gen_random_uuid(), 1, 3, t.id, b.id, t.asset, t.amount
    from take t left join account b on b.kind = 5 and b.asset = t.asset and b.slot = p_slot and b.wallet_id is null
    where t.amount > 0
    returning credit, amount
  ), lots as (
    update account a set debits = a.debits + t.amount, open = t.amount < t.rest, version = a.version + 1
    from take t where a.id = t.id and (t.amount > 0 or t.rest = 0)
  ), breakage as (
    update account a set credits = a.credits + s.amount, version = a.version + 1
    from (select credit, sum(amount)::bigint as amount from moved group by credit) s where a.id = s.credit
  )
  update wallet x set posted = x.posted - s.amount, version = x.version + 1,
         next_expiry = least(case when s.left_over then now() + interval '1 minute' end,
                             (select min(a.expires_at) from account a
                              where a.wallet_id = x.id and a.kind = 1 and a.open and a.expires_at > now()))
  from (select w.id, coalesce(sum(t.amount), 0)::bigint as amount, coalesce(bool_or(t.amount < t.rest), false) as left_over
        from w left join take t on t.wallet_id = w.id group by w.id) s
  where x.id = s.id;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.expire_quiet_wallets(p_slot smallint, p_limit integer)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
declare v_wallets bigint[];
begin
  select array_agg(id) into v_wallets from (
    select id from wallet where next_expiry <= now() order by id limit p_limit for no key update skip locked) w;
  if v_wallets is not null then perform expire_lots(p_slot, v_wallets); end if;
  return coalesce(cardinality(v_wallets), 0);
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.extend(p_slot smallint, p_epoch bigint, p_ttl interval, p_request uuid[], p_wallet bigint[], p_number bigint[], p_add bigint[], p_accrued bigint[], p_usage text[])
 RETURNS TABLE(granted bigint)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  v_add bigint[] := p_add; v_taken bigint[]; v_got bigint[]; -- one element a call
  v_room bigint; r record;
begin
  perform 1 from wallet where id = any (p_wallet) order by id for no key update;
  perform require_slot(p_slot, p_epoch);
  -- What budgets have left is taken first, call by call; what the wallet then does not grant is given back.
  if exists (select from hold h where h.request_id = any (p_request) and h.budgets is not null) then
    v_taken := array_fill(null::bigint, array[cardinality(p_request)]);
    for i in 1..cardinality(p_request) loop
      select h.budgets, h.budget_periods, h.extension into r from hold h
      where h.request_id = p_request[i] and h.wallet_id = p_wallet[i] and h.slot = p_slot and h.epoch = p_epoch;
      continue when r.budgets is null or p_number[i] <= r.extension or p_add[i] < 0 or array_position(p_request, p_request[i]) < i;
      select greatest(0, least(p_add[i], min(b.limit_nanos - u.spent - u.held))) into v_room
      from unnest(r.budgets, r.budget_periods) as x(id, start)
      join budget b on b.id = x.id join budget_usage u on u.budget_id = x.id and u.period_start = x.start;
      v_add[i] := v_room;
      update budget_usage u set held = u.held + v_room
      from unnest(r.budgets, r.budget_periods) as x(id, start) where u.budget_id = x.id and u.period_start = x.start;
      v_taken[i] := v_room;
    end loop;
  end if;

  with op as materialized (
    select o.rid, o.wid, o.number, least(o.add, 1000000000000 - h.amount) as add, o.accrued, o.usage, o.n,
           w.posted - w.held as free0, h.extension, h.extended, row_number() over (partition by o.rid order by o.n) as nth
    from unnest(p_request, p_wallet, p_number, v_add, p_accrued, p_usage) with ordinality
         as o(rid, wid, number, add, accrued, usage, n)
    join wallet w on w.id = o.wid and not w.frozen
    join hold h on h.request_id = o.rid and h.wallet_id = o.wid and h.slot = p_slot and h.epoch = p_epoch
    where o.add >= 0 and o.accrued >= 0
  ), fresh as (
    select *, (sum(add) over (partition by wid order by n))::bigint as hi from op where number > extension and nth = 1
  ), g as materialized (
    select *, least(hi, free0) - least(hi - add, free0) as got from fresh
  ), holds as (
    update hold h set amount = h.amount + g.got, extension = g.number, extended = g.got,
           accrued = greatest(h.accrued, least(g.accrued, h.amount + g.got)),
           accrued_usage = case when g.accrued > h.accrued then g.usage else h.accrued_usage end,
           expires_at = now() + p_ttl
    from g where h.request_id = g.rid
  ), wallets as (
    update wallet w set held = w.held + s.got, version = w.version + 1
    from (select wid, sum(got)::bigint as got from g group by wid) s where w.id = s.wid
  )
  select array_agg(case when op.n is null then -1 when g.n is not null then g.got
                        when op.number = op.extension then op.extended else 0 end order by o.n) into v_got
  from unnest(p_request) with ordinality as o(rid, n) left join op on op.n = o.n left join g on g.n = o.n;

  if v_taken is not null then
    for i in 1..cardinality(p_request) loop
      continue when v_taken[i] is null or v_taken[i] = greatest(v_got[i], 0);
      update budget_usage u set held = u.held - (v_taken[i] - greatest(v_got[i], 0))
      from hold h cross join unnest(h.budgets, h.budget_periods) as x(id, start)
      where h.request_id = p_request[i] and u.budget_id = x.id and u.period_start = x.start;
    end loop;
  end if;
  return query select o.got from unnest(v_got) with ordinality as o(got, n) order by o.n;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.fold_late_usage()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare v_until timestamptz;
begin
  select until into strict v_until from usage_fold for share;
  if new.bucket >= v_until then return null; end if;
  -- Quarters of one hour in another order: two writers of a wallet would wait for each other.
  perform pg_advisory_xact_lock(hashtext('usage_1h'), (new.wallet_id % 2147483647)::integer);
  insert into usage_1h as u (wallet_id, hour, series, calls, input_tokens, output_tokens, charged, cost, unpriced)
  values (new.wallet_id, date_bin('1 hour', new.bucket, '2000-01-01 00:00+00'), new.series,
          new.calls - coalesce(old.calls, 0), new.input_tokens - coalesce(old.input_tokens, 0),
          new.output_tokens - coalesce(old.output_tokens, 0), new.charged - coalesce(old.charged, 0),
          new.cost - coalesce(old.cost, 0), new.unpriced - coalesce(old.unpriced, 0))
  on conflict (wallet_id, hour, series) do update set
    calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, charged = u.charged + excluded.charged,
    cost = u.cost + excluded.cost, unpriced = u.unpriced + excluded.unpriced;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.fold_usage(p_hours integer, p_rows integer)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
AS $function$
declare
  v_from timestamptz; v_first timestamptz; v_full timestamptz; v_to timestamptz;
  v_end constant timestamptz := date_bin('1 hour', now() - interval '2 hours', '2000-01-01 00:00+00');
begin
  -- Waits for late records that are being written, which hold it in share; the statements below then see them.
  select until into strict v_from from usage_fold for update;
  select date_bin('1 hour', min(bucket), '2000-01-01 00:00+00') into v_first from usage_15m where bucket >= v_from;
  v_to := least(v_end, greatest(v_from, v_first) + p_hours * interval '1 hour');
  if v_first is null then v_to := v_end; end if;
  select date_bin('1 hour', bucket, '2000-01-01 00:00+00') into v_full from usage_15m where bucket >= v_from
    order by bucket offset p_rows limit 1;
  if v_full is not null then v_to := least(v_to, greatest(v_full, v_first + interval '1 hour')); end if;
  if v_to <= v_from then return v_from; end if;
  insert into usage_1h (wallet_id, hour, series, calls, input_tokens, output_tokens, charged, cost, unpriced)
  select wallet_id, date_bin('1 hour', bucket, '2000-01-01 00:00+00'), series, sum(calls), sum(input_tokens), sum(output_tokens),
         sum(charged), sum(cost), sum(unpriced)
  from usage_15m where bucket >= v_from and bucket < v_to
  group by 1, 2, 3;
  update usage_fold set until = v_to;
  return v_to;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.key_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  v_hash bytea;
begin
  foreach v_hash in array case when tg_op = 'INSERT' then array[new.hash]
                               when tg_op = 'DELETE' or old.hash = new.hash then array[old.hash]
                               else array[old.hash, new.hash] end loop
    execute format('insert into %I.key_change (hash) values ($1)', tg_table_schema) using v_hash;
    perform pg_notify('fluxgate_key', encode(v_hash, 'hex'));
  end loop;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.key_changes_in_turn()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.key_change', 0));
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.log_head_guard()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if old.ended_at is not null or new.size < old.size
     or (new.log_id, new.origin, new.public_key) is distinct from (old.log_id, old.origin, old.public_key)
     or (new.size = old.size and (new.root, new.frontier, new.checkpoint) is distinct from (old.root, old.frontier, old.checkpoint)) then
    raise exception 'log %: it only grows', old.origin using errcode = 'integrity_constraint_violation';
  end if;
  if new.size > old.size
     and (not exists (select 1 from log_checkpoint c where c.log_id = new.log_id and c.size = new.size and c.root = new.root)
          or (select count(*) from log_leaf l where l.log_id = new.log_id and l.idx >= old.size) <> new.size - old.size
          or not exists (select 1 from log_leaf l where l.log_id = new.log_id and l.idx = new.size - 1)) then
    raise exception 'log %: its leaves are not 0 to %', old.origin, new.size - 1 using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.no_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.payment_guard()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if new.changes < old.changes
     or (new.id, new.kind, new.project_id, new.wallet_id, new.ref, new.lot_id, new.amount, new.charged_minor, new.currency)
        is distinct from (old.id, old.kind, old.project_id, old.wallet_id, old.ref, old.lot_id, old.amount, old.charged_minor, old.currency) then
    raise exception 'payment %: what it credited stays', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.person_banned()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  execute format('delete from %I.oauth_refresh_token where user_id = $1', tg_table_schema) using new.id;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.person_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  v_hash bytea;
begin
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.key_change', 0));
  for v_hash in execute format(
    'select k.hash from %1$I.api_key k join %1$I.project p on p.id = k.project_id
     where (p.user_id = $1 or k.user_id = $1) and k.revoked_at is null', tg_table_schema) using new.id
  loop
    execute format('insert into %I.key_change (hash) values ($1)', tg_table_schema) using v_hash;
    perform pg_notify('fluxgate_key', encode(v_hash, 'hex'));
  end loop;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.project_models_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  v_hash bytea;
begin
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.key_change', 0));
  for v_hash in execute format('select hash from %I.api_key where project_id = $1 and revoked_at is null', tg_table_schema) using new.id
  loop
    execute format('insert into %I.key_change (hash) values ($1)', tg_table_schema) using v_hash;
    perform pg_notify('fluxgate_key', encode(v_hash, 'hex'));
  end loop;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.rate_enter(p_id text, p_lease_ms bigint, p_subject text[], p_requests bigint[], p_tokens bigint[], p_concurrent bigint[])
 RETURNS TABLE(refused integer, left_ms bigint, requests bigint[], tokens bigint[], concurrent bigint[])
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  v_ms bigint; v_minute bigint; v_refused integer := 0; v_r bigint[] := '{}'; v_t bigint[] := '{}'; v_c bigint[] := '{}';
  v_count bigint; w rate_window;
begin
  insert into rate_window (subject, minute, requests, tokens) select s, 0, 0, 0 from unnest(p_subject) s order by s on conflict do nothing;
  perform 1 from rate_window where subject = any (p_subject) order by subject for update;
  v_ms := (extract(epoch from clock_timestamp()) * 1000)::bigint; -- after the wait for the locks
  v_minute := v_ms / 60000;
  delete from rate_lease where subject = any (p_subject) and expires_at < clock_timestamp();
  for i in 1..cardinality(p_subject) loop
    select * into w from rate_window where subject = p_subject[i];
    if w.minute <> v_minute then
      w.requests := 0;
      w.tokens := case when p_tokens[i] < 0 then 0 else greatest(0, w.tokens - p_tokens[i] * (v_minute - w.minute)) end;
    end if;
    select count(*) into v_count from rate_lease where subject = p_subject[i];
    if v_refused = 0 then
      v_refused := case when p_requests[i] >= 0 and w.requests >= p_requests[i] then i * 10 + 1
                        when p_tokens[i] >= 0 and w.tokens >= p_tokens[i] then i * 10 + 2
                        when p_concurrent[i] >= 0 and v_count >= p_concurrent[i] then i * 10 + 3 else 0 end;
    end if;
    v_r := v_r || w.requests;
    v_t := v_t || w.tokens;
    v_c := v_c || v_count;
  end loop;
  if v_refused = 0 then
    for i in 1..cardinality(p_subject) loop
      v_r[i] := v_r[i] + 1;
      update rate_window set minute = v_minute, requests = v_r[i], tokens = v_t[i] where subject = p_subject[i];
      if p_concurrent[i] >= 0 then
        v_c[i] := v_c[i] + 1;
        insert into rate_lease (subject, id, expires_at)
        values (p_subject[i], p_id, clock_timestamp() + p_lease_ms * interval '1 millisecond') on conflict do nothing;
      end if;
    end loop;
  end if;
  return query select v_refused, 60000 - v_ms % 60000, v_r, v_t, v_c;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.rate_leave(p_id text, p_subject text[], p_tokens bigint[], p_used bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare v_minute bigint;
begin
  delete from rate_lease where id = p_id and subject = any (p_subject);
  if p_used <= 0 then return; end if;
  perform 1 from rate_window where subject = any (p_subject) order by subject for update;
  v_minute := (extract(epoch from clock_timestamp()) * 1000)::bigint / 60000;
  update rate_window w set minute = v_minute, requests = case when w.minute = v_minute then w.requests else 0 end,
         tokens = p_used + case when w.minute = v_minute then w.tokens else greatest(0, w.tokens - o.tokens * (v_minute - w.minute)) end
  from unnest(p_subject, p_tokens) as o(subject, tokens) where w.subject = o.subject and o.tokens >= 0;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.refund(p_slot smallint, p_ref uuid, p_request uuid, p_amount bigint, p_reason text, p_actor text, p_body_hash bytea)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
declare
  v_wallet bigint; v_asset smallint; v_charged bigint; v_back bigint; v_revenue bigint; v_body bytea;
  v_late bigint; v_class smallint; v_priority smallint; v_lots bigint[]; v_amounts bigint[]; v_fresh bigint;
begin
  select wallet_id, charged into v_wallet, v_charged from request_log where request_id = p_request;
  if not found then return 'no_request'; end if;
  select asset into v_asset from wallet where id = v_wallet for no key update;
  select body_hash into v_body from adjustment where ref = p_ref;
  if found then return case when v_body = p_body_hash then 'already' else 'key_reused' end; end if;
  select coalesce(sum(amount), 0) into v_back from transfer where reverses = p_request;
  if p_amount <= 0 or p_amount > v_charged - v_back then return 'exceeds_charge'; end if;
  select id into strict v_revenue from account where kind = 2 and asset = v_asset and slot = p_slot and wallet_id is null;

  -- Earlier refunds of this charge took the first v_back of the line; this one takes the next p_amount.
  with line as (
    select t.debit as lot_id, t.amount, (sum(t.amount) over (order by t.leg desc))::bigint as hi
    from transfer t where t.ref = p_request and t.code = 10
  ), part as (
    select a.id, a.class, a.priority, coalesce(a.expires_at <= now(), false) as late,
           least(l.hi, v_back + p_amount) - greatest(l.hi - l.amount, v_back) as amount
    from line l join account a on a.id = l.lot_id
    where l.hi > v_back and l.hi - l.amount < v_back + p_amount
  )
  select array_agg(id order by id) filter (where not late), array_agg(amount order by id) filter (where not late),
         sum(amount) filter (where late), min(class) filter (where late), min(priority) filter (where late)
    into v_lots, v_amounts, v_late, v_class, v_priority
  from part;

  if v_late > 0 then
    insert into account (kind, asset, wallet_id, class, priority, expires_at)
    values (1, v_asset, v_wallet, v_class, v_priority, now() + interval '30 days') returning id into v_fresh;
    v_lots := v_lots || v_fresh;
    v_amounts := v_amounts || v_late;
  end if;
  insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
  select p_ref, n, 11, v_revenue, lot_id, v_asset, amount, p_request
  from unnest(v_lots, v_amounts) with ordinality as p(lot_id, amount, n);
  insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
  values (p_ref, 'refund', v_wallet, p_amount, p_reason, p_actor, p_body_hash);
  update account a set credits = a.credits + p.amount, open = true, version = a.version + 1
  from unnest(v_lots, v_amounts) as p(lot_id, amount) where a.id = p.lot_id;
  update account set debits = debits + p_amount, version = version + 1 where id = v_revenue;
  update wallet set posted = posted + p_amount, version = version + 1,
         next_expiry = least(next_expiry, (select min(a.expires_at) from account a where a.id = any (v_lots)))
   where id = v_wallet;
  return 'refunded';
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.require_slot(p_slot smallint, p_epoch bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  if not exists (select 1 from gateway_slot where slot = p_slot and epoch = p_epoch and not released) then
    raise exception 'slot % epoch % is no longer ours', p_slot, p_epoch using errcode = 'FG001';
  end if;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.reserve(p_slot smallint, p_epoch bigint, p_ttl interval, p_request uuid[], p_attempt uuid[], p_wallet bigint[], p_amount bigint[], p_floor bigint[], p_body bytea[], p_context text[])
 RETURNS TABLE(status text, seq bigint, granted bigint, free bigint, budget bigint)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  v_calls constant integer := cardinality(p_request);
  v_wallets bigint[]; v_free bigint[]; v_seq bigint[]; v_frozen boolean[]; v_due boolean; -- one element a wallet
  v_held bigint[]; v_taken bigint[]; v_budgeted boolean[];
  v_prior uuid[]; -- requests that are known already: rarely any
  v_status text[]; v_number bigint[]; v_granted bigint[]; v_shown bigint[]; -- one element a call
  v_over bigint[]; v_budgets text[]; v_periods text[];
  w integer; v_got bigint; r record; b record;
begin
  -- The locks are a statement of their own: what follows sees every other table as it is after the wait.
  select array_agg(id), array_agg(posted - held), array_agg(x.seq), array_agg(frozen), array_agg(budgeted), bool_or(next_expiry <= now())
    into v_wallets, v_free, v_seq, v_frozen, v_budgeted, v_due
  from (select * from wallet where id = any (p_wallet) order by id for no key update) x;
  perform require_slot(p_slot, p_epoch);
  if v_due then
    perform expire_lots(p_slot, v_wallets);
    select array_agg(posted - held order by id) into v_free from wallet where id = any (v_wallets);
  end if;
  select array_agg(request_id) into v_prior
  from (select request_id from hold where request_id = any (p_request)
        union all select request_id from request_log where request_id = any (p_request)) x;

  v_status := array_fill('insufficient'::text, array[v_calls]);
  v_number := array_fill(null::bigint, array[v_calls]);
  v_granted := array_fill(0::bigint, array[v_calls]);
  v_shown := array_fill(null::bigint, array[v_calls]);
  v_over := v_shown;
  v_budgets := array_fill(null::text, array[v_calls]);
  v_periods := v_budgets;
  v_held := array_fill(0::bigint, array[coalesce(cardinality(v_wallets), 0)]);
  v_taken := v_held;
  for i in 1..v_calls loop
    w := array_position(v_wallets, p_wallet[i]);
    if w is null then
      v_status[i] := 'no_wallet';
      continue;
    end if;
    v_shown[i] := v_free[w] + v_held[w]; -- as it was before this batch
    if v_prior is not null and p_request[i] = any (v_prior) then
      select coalesce(h.body_hash, l.body_hash) <> p_body[i] as differs, h.attempt = p_attempt[i] as mine,
             h.request_id is not null as open, coalesce(h.seq, l.seq) as seq, coalesce(h.amount, 0) as amount into r
      from (select p_request[i] as id) x left join hold h on h.request_id = x.id left join request_log l on l.request_id = x.id;
      v_status[i] := case when r.mine then 'reserved' when r.differs then 'key_reused'
                          when r.open then 'in_flight' else 'done' end;
      v_number[i] := r.seq;
      v_granted[i] := r.amount;
      -- Its first try may have been committed under a lease that was lost since: then nobody could extend it.
      if r.mine then
        update hold set slot = p_slot, epoch = p_epoch
        where request_id = p_request[i] and (slot <> p_slot or epoch <> p_epoch);
      end if;
    elsif v_frozen[w] then
      v_status[i] := 'frozen';
    elsif p_floor[i] < 0 or p_amount[i] < p_floor[i] or p_amount[i] > 1000000000000 then
      v_status[i] := 'bad_amount';
    else
      v_got := least(p_amount[i], v_free[w]);
      continue when v_got < p_floor[i];
      if v_budgeted[w] then
        select * into b from take_budget(p_wallet[i], p_context[i], v_got, p_floor[i]);
        if b.over is not null then
          v_status[i] := 'over_budget';
          v_over[i] := b.over;
          continue;
        end if;
        v_got := b.got;
        v_budgets[i] := b.budgets::text;
        v_periods[i] := b.periods::text;
      end if;
      v_free[w] := v_free[w] - v_got;
      v_held[w] := v_held[w] + v_got;
      v_taken[w] := v_taken[w] + 1;
      v_status[i] := 'new';
      v_number[i] := v_seq[w] + v_taken[w];
      v_granted[i] := v_got;
    end if;
  end loop;

  -- A request that stands twice in the batch breaks the primary key here, and the whole batch with it.
  insert into hold (request_id, attempt, wallet_id, seq, amount, slot, epoch, body_hash, context, created_at, expires_at, budgets, budget_periods)
  select o.rid, o.attempt, o.wid, o.seq, o.amount, p_slot, p_epoch, o.body, o.context, now(), now() + p_ttl, o.budgets::bigint[], o.periods::timestamptz[]
  from unnest(p_request, p_attempt, p_wallet, v_number, v_granted, p_body, p_context, v_status, v_budgets, v_periods)
       as o(rid, attempt, wid, seq, amount, body, context, status, budgets, periods)
  where o.status = 'new';
  update wallet x set held = x.held + d.held, seq = x.seq + d.taken, version = x.version + 1
  from unnest(v_wallets, v_held, v_taken) as d(id, held, taken) where x.id = d.id and d.taken > 0;
  return query
  select case o.status when 'new' then 'reserved' else o.status end, o.seq, o.granted, o.free, o.over
  from unnest(v_status, v_number, v_granted, v_shown, v_over) as o(status, seq, granted, free, over);
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.reverse_grant(p_slot smallint, p_ref uuid, p_grant uuid, p_reason text, p_actor text, p_body_hash bytea)
 RETURNS TABLE(status text, amount bigint)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  v_lot bigint; v_wallet bigint; v_asset smallint; v_source smallint; v_account bigint; v_rest bigint; v_free bigint; v_body bytea;
begin
  select t.credit, a.wallet_id into v_lot, v_wallet
  from transfer t join account a on a.id = t.credit
  where t.ref = p_grant and t.leg = 0 and t.code = 2 and a.kind = 1;
  if not found then return query select 'no_grant', 0::bigint; return; end if;
  select w.posted - w.held, w.asset into v_free, v_asset from wallet w where w.id = v_wallet for no key update;
  select a.body_hash into v_body from adjustment a where a.ref = p_ref;
  if found then
    return query select case when v_body = p_body_hash then 'already' else 'key_reused' end,
                        (select a.amount from adjustment a where a.ref = p_ref);
    return;
  end if;
  -- Read after the wait for the lock: by now nobody else changes the lot.
  select least(a.credits - a.debits, v_free) into v_rest from account a where a.id = v_lot;
  if v_rest <= 0 then return query select 'nothing', 0::bigint; return; end if;
  select s.kind into v_source from transfer t join account s on s.id = t.debit where t.ref = p_grant and t.leg = 0;
  select a.id into strict v_account from account a
   where a.kind = v_source and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
  insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
  values (p_ref, 0, 12, v_lot, v_account, v_asset, v_rest, p_grant);
  insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
  values (p_ref, 'reversal', v_wallet, v_rest, p_reason, p_actor, p_body_hash);
  update account a set debits = a.debits + v_rest, open = a.credits > a.debits + v_rest, version = a.version + 1 where a.id = v_lot;
  update account a set credits = a.credits + v_rest, version = a.version + 1 where a.id = v_account;
  update wallet w set posted = w.posted - v_rest, version = w.version + 1 where w.id = v_wallet;
  return query select 'reversed', v_rest;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.roll_over(p_slot smallint, p_payment text, p_cap bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
declare
  v payment; v_lot account; v_free bigint; v_take bigint; v_part bigint; v_step bigint; v_new bigint; v_ref uuid := gen_random_uuid();
  v_lots bigint[]; v_leg smallint := 0; r record;
begin
  perform 1 from wallet w where w.id = (select p.wallet_id from payment p where p.id = p_payment) for no key update;
  select * into strict v from payment where id = p_payment;
  if v.rolled_lot_id is not null or v.subscription_id is null then return 0; end if;
  perform expire_lots(p_slot, array[v.wallet_id]);
  select * into strict v_lot from account a where a.id = v.lot_id;
  select w.posted - w.held into v_free from wallet w where w.id = v.wallet_id;
  select array_agg(a.id order by a.id desc), least(p_cap, v_free, coalesce(sum(a.credits - a.debits), 0))::bigint into v_lots, v_take
  from account a
  where a.wallet_id = v.wallet_id and a.kind = 1 and a.open and a.credits > a.debits and a.expires_at > now()
    and a.expires_at < v_lot.expires_at
    and a.id in (select unnest(array[p.lot_id, p.rolled_lot_id]) from payment p where p.subscription_id = v.subscription_id and p.id <> v.id);
  if v_take <= 0 then return 0; end if;
  insert into account (kind, asset, wallet_id, class, priority, expires_at, credits, version)
  values (1, v_lot.asset, v.wallet_id, v_lot.class, v_lot.priority, v_lot.expires_at, v_take, 1) returning id into v_new;
  v_part := v_take;
  for r in select a.id, a.credits - a.debits as rest from account a where a.id = any (v_lots) order by a.id desc loop
    exit when v_part = 0;
    v_step := least(r.rest, v_part);
    insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
    values (v_ref, v_leg, 18, r.id, v_new, v_lot.asset, v_step, v.ref);
    update account a set debits = a.debits + v_step, open = r.rest > v_step, version = a.version + 1 where a.id = r.id;
    v_part := v_part - v_step;
    v_leg := v_leg + 1;
  end loop;
  update payment p set rolled_lot_id = v_new where p.id = p_payment;
  return v_take;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.series_id(p_wallet bigint, p_project text, p_key text, p_source smallint, p_provider text, p_model text, p_model_used text, p_alias text, p_profile text, p_origin text)
 RETURNS uuid
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select encode(substring(sha256(convert_to(jsonb_build_array(p_wallet, p_project, p_key, p_source, p_provider, p_model,
                p_model_used, p_alias, p_profile, p_origin)::text, 'UTF8')) from 1 for 16), 'hex')::uuid
$function$
;

CREATE OR REPLACE FUNCTION fluxgate.settle(p_slot smallint, p_batch uuid, p_key text, p_root bytea, p_sig bytea, p_leaves bytea, p_request uuid[], p_wallet bigint[], p_seq bigint[], p_charge bigint[], p_absorbed bigint[], p_cost bigint[], p_outcome smallint[], p_key_id text[], p_alias text[], p_profile text[], p_origin text[], p_provider text[], p_model text[], p_source smallint[], p_in bigint[], p_out bigint[], p_attempts smallint[], p_receipt text[])
 RETURNS TABLE(status text, charged bigint)
 LANGUAGE sql
AS $function$
  select * from settle(
    p_slot, p_batch, p_key, p_root, p_sig, p_leaves, p_request, p_wallet, p_seq, p_charge, p_absorbed, p_cost, p_outcome, p_key_id,
    p_alias, p_profile, p_origin, p_provider, p_model, p_source, p_in, p_out, p_attempts, p_receipt,
    (select array_agg(k.project_id order by o.n) from unnest(p_key_id) with ordinality as o(id, n) left join api_key k on k.id = o.id),
    array_fill(null::text, array[cardinality(p_request)]))
$function$
;

CREATE OR REPLACE FUNCTION fluxgate.settle(p_slot smallint, p_batch uuid, p_key text, p_root bytea, p_sig bytea, p_leaves bytea, p_request uuid[], p_wallet bigint[], p_seq bigint[], p_charge bigint[], p_absorbed bigint[], p_cost bigint[], p_outcome smallint[], p_key_id text[], p_alias text[], p_profile text[], p_origin text[], p_provider text[], p_model text[], p_source smallint[], p_in bigint[], p_out bigint[], p_attempts smallint[], p_receipt text[], p_project text[], p_model_used text[])
 RETURNS TABLE(status text, charged bigint)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_calls constant integer := cardinality(p_request);
  v_wallets bigint[]; v_charged bigint[]; v_released bigint[]; v_first integer[]; -- one element a wallet
  v_hold bigint[]; v_created timestamptz[]; v_body bytea[]; v_budgeted boolean; -- one element a call
  v_lots bigint[]; v_owner bigint[]; v_rest bigint[]; v_burnt bigint[]; -- one element a lot, in burn order by wallet
  v_ref uuid[] := '{}'; v_leg smallint[] := '{}'; v_debit bigint[] := '{}'; v_amount bigint[] := '{}'; -- one element a transfer
  v_revenue bigint; v_cost_account bigint; v_payable bigint; v_total bigint := 0; v_costs bigint := 0;
  w integer; l integer; v_left bigint; v_part bigint; v_legs smallint; v_booked integer;
begin
  select array_agg(id) into v_wallets
  from (select id from wallet where id = any (p_wallet) order by id for no key update) x;
  select array_agg(h.amount order by o.n), array_agg(h.created_at order by o.n), array_agg(h.body_hash order by o.n),
         bool_or(h.budgets is not null)
    into v_hold, v_created, v_body, v_budgeted
  from unnest(p_request, p_wallet, p_seq, p_charge) with ordinality as o(rid, wid, seq, charge, n)
  join hold h on h.request_id = o.rid and h.wallet_id = o.wid and h.seq = o.seq and o.charge between 0 and h.amount;
  if coalesce(cardinality(v_hold), 0) <> v_calls or length(p_leaves) <> 32 * v_calls
     or (v_calls > 1 and (select count(distinct rid) from unnest(p_request) as o(rid)) <> v_calls) then
    return query
    select case when g.request_id is not null or o.nth > 1 then 'already'
                when h.request_id is null then 'no_hold'
                when o.charge < 0 or o.charge > h.amount then 'exceeds_hold'
                when o.seq <> h.seq then 'seq_differs'
                else 'ready' end,
           g.charged
    from (select *, row_number() over (partition by rid order by n) as nth
          from unnest(p_request, p_wallet, p_seq, p_charge) with ordinality as u(rid, wid, seq, charge, n)) o
    left join request_log g on g.request_id = o.rid
    left join hold h on h.request_id = o.rid and h.wallet_id = o.wid
    order by o.n;
    return;
  end if;

  -- The waterfall: each charge, in queue order, burns the lots of its wallet in their order.
  select array_agg(id), array_agg(wallet_id), array_agg(rest) into v_lots, v_owner, v_rest
  from (select id, wallet_id, credits - debits as rest from account
        where kind = 1 and open and wallet_id = any (v_wallets) and credits > debits
        order by wallet_id, priority, expires_at nulls last, id) x;
  v_charged := array_fill(0::bigint, array[cardinality(v_wallets)]);
  v_released := v_charged;
  v_first := array_fill(null::integer, array[cardinality(v_wallets)]);
  v_burnt := array_fill(0::bigint, array[coalesce(cardinality(v_lots), 0)]);
  for i in 1..v_calls loop
    w := array_position(v_wallets, p_wallet[i]);
    v_charged[w] := v_charged[w] + p_charge[i];
    v_released[w] := v_released[w] + v_hold[i];
    v_total := v_total + p_charge[i];
    v_costs := v_costs + p_cost[i];
    v_left := p_charge[i];
    v_legs := 0;
    l := coalesce(v_first[w], array_position(v_owner, p_wallet[i]));
    while v_left > 0 loop
      -- posted >= held >= charge, so the lots of the wallet cover it; running past them is a broken ledger.
      if v_owner[l] is distinct from p_wallet[i] then
        raise exception 'wallet %: its lots do not cover what it has posted', p_wallet[i] using errcode = 'integrity_constraint_violation';
      end if;
      v_part := least(v_left, v_rest[l]);
      if v_part > 0 then
        v_legs := v_legs + 1;
        v_ref := v_ref || p_request[i];
        v_leg := v_leg || v_legs;
        v_debit := v_debit || v_lots[l];
        v_amount := v_amount || v_part;
        v_rest[l] := v_rest[l] - v_part;
        v_burnt[l] := v_burnt[l] + v_part;
        v_left := v_left - v_part;
      end if;
      if v_left > 0 then l := l + 1; end if;
    end loop;
    v_first[w] := l;
  end loop;

  -- From here on nothing refuses.
  insert into receipt_batch (batch_id, key_id, leaves, root, sig, settled_at)
  values (p_batch, p_key, p_leaves, p_root, p_sig, v_now);
  insert into request_log (request_id, wallet_id, seq, outcome, charged, absorbed, cost, key_id, alias_name, profile, origin,
                           provider, model, usage_source, input_tokens, output_tokens, attempts, body_hash, started_at,
                           settled_at, batch_id, pos, receipt, project_id, model_used)
  select rid, wid, seq, outcome, charge, absorbed, cost, key_id, alias, profile, origin, provider, model, source, tin, tout,
         attempts, body, created, v_now, p_batch, n - 1, receipt, project, used
  from unnest(p_request, p_wallet, p_seq, p_outcome, p_charge, p_absorbed, p_cost, p_key_id, p_alias, p_profile, p_origin,
              p_provider, p_model, p_source, p_in, p_out, p_attempts, v_body, v_created, p_receipt, p_project, p_model_used)
       with ordinality as o(rid, wid, seq, outcome, charge, absorbed, cost, key_id, alias, profile, origin,
                            provider, model, source, tin, tout, attempts, body, created, receipt, project, used, n);
  if v_budgeted then
    insert into budget_charge (request_id, budget_id, period_start, charged)
    select h.request_id, x.id, x.start, o.charge
    from unnest(p_request, p_charge) as o(rid, charge) join hold h on h.request_id = o.rid
    cross join unnest(h.budgets, h.budget_periods) as x(id, start);
    update budget_usage u set held = u.held - s.held, spent = u.spent + s.charge
    from (select x.id, x.start, sum(h.amount)::bigint as held, sum(o.charge)::bigint as charge
          from unnest(p_request, p_charge) as o(rid, charge) join hold h on h.request_id = o.rid
          cross join unnest(h.budgets, h.budget_periods) as x(id, start) group by x.id, x.start) s
    where u.budget_id = s.id and u.period_start = s.start;
  end if;
  delete from hold where request_id = any (p_request);
  update wallet x set posted = x.posted - d.charged, held = x.held - d.released, version = x.version + 1
  from unnest(v_wallets, v_charged, v_released) as d(id, charged, released) where x.id = d.id;
  with op as (
    select series_id(wid, project, key_id, 1::smallint, provider, model, used, alias, profile, origin) as series, *
    from unnest(p_wallet, p_project, p_key_id, p_provider, p_model, p_model_used, p_alias, p_profile, p_origin,
                p_in, p_out, p_charge, p_absorbed, p_cost)
         as o(wid, project, key_id, provider, model, used, alias, profile, origin, tin, tout, charge, absorbed, cost)
  ), named as (
    insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
    select distinct on (series) series, wid, project, key_id, 1, provider, model, used, alias, profile, origin
    from op order by series
    on conflict do nothing
  )
  insert into usage_15m as u (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost)
  select wid, date_bin('15 minutes', v_now, '2000-01-01 00:00+00'), series, count(*), sum(tin), sum(tout), sum(charge),
         sum(absorbed), sum(cost)
  from op group by wid, series order by wid, series
  on conflict (wallet_id, bucket, series) do update set
    calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, charged = u.charged + excluded.charged,
    absorbed = u.absorbed + excluded.absorbed, cost = u.cost + excluded.cost;

  if v_total > 0 or v_costs > 0 then
    select max(id) filter (where kind = 2), max(id) filter (where kind = 6), max(id) filter (where kind = 7)
      into strict v_revenue, v_cost_account, v_payable
    from account where kind in (2, 6, 7) and asset = 1 and slot = p_slot and wallet_id is null;
    insert into transfer (ref, leg, code, debit, credit, asset, amount, at)
    select t.ref, t.leg, 10, t.debit, v_revenue, 1, t.amount, v_now
    from unnest(v_ref, v_leg, v_debit, v_amount) as t(ref, leg, debit, amount)
    -- What the providers ask is one pair per batch; a call's own share is in request_log.cost.
    union all select p_batch, 1, 20, v_cost_account, v_payable, 1, v_costs, v_now where v_costs > 0;
    update account a set debits = a.debits + d.burnt, version = a.version + 1, open = a.credits > a.debits + d.burnt
    from unnest(v_lots, v_burnt) as d(id, burnt) where a.id = d.id and d.burnt > 0;
    -- A refund of the same slot may be under way, so this may wait. Never with a UNION in its FROM: after a wait PostgreSQL
    -- looks such a row up again, does not find it, and leaves the account as it was without a word.
    update account a set debits = a.debits + d.debit, credits = a.credits + d.credit, version = a.version + 1
    from (values (v_revenue, 0, v_total), (v_cost_account, v_costs, 0), (v_payable, 0, v_costs)) as d(id, debit, credit)
    where a.id = d.id and (d.debit > 0 or d.credit > 0);
    get diagnostics v_booked = row_count;
    if v_booked <> (v_total > 0)::integer + 2 * (v_costs > 0)::integer then
      raise exception 'slot %: an account of its own was not found', p_slot using errcode = 'integrity_constraint_violation';
    end if;
  end if;
  return query select 'settled'::text, o.charge from unnest(p_charge) as o(charge);
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.take_budget(p_wallet bigint, p_context text, p_amount bigint, p_floor bigint)
 RETURNS TABLE(got bigint, over bigint, budgets bigint[], periods timestamp with time zone[])
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
declare
  -- JSON can spell a NUL, which no text here holds; only an escape that is not itself escaped is one.
  v_call constant json := case when position('\u0000' in p_context) = 0 then p_context
    else regexp_replace(p_context, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') end;
  v_room bigint; v_least bigint;
begin
  select array_agg(b.id order by b.id), array_agg(s.start order by b.id), min(r.room), (array_agg(b.id order by r.room, b.id))[1]
    into budgets, periods, v_room, v_least
  from budget b
  cross join lateral (select budget_period(b.period, b.time_zone, now()) as start) s
  left join budget_usage u on u.budget_id = b.id and u.period_start = s.start
  cross join lateral (select b.limit_nanos - coalesce(u.spent + u.held, 0) as room) r
  where b.wallet_id = p_wallet and b.active
    and (b.key_id is null or b.key_id = v_call ->> 'keyId')
    and (b.user_id is null or b.user_id = v_call ->> 'userId')
    and (b.model is null or b.model = v_call ->> 'model')
    and (b.alias_name is null or b.alias_name = v_call ->> 'aliasName')
    and (b.tag is null or b.tag in (select json_array_elements_text(coalesce(v_call -> 'tags', '[]'))));
  got := least(p_amount, coalesce(v_room, p_amount));
  if got < p_floor then
    over := v_least;
  else
    insert into budget_usage as u (budget_id, period_start, held) select x.id, x.start, got from unnest(budgets, periods) as x(id, start)
    on conflict (budget_id, period_start) do update set held = u.held + excluded.held;
  end if;
  return next;
end $function$
;

CREATE OR REPLACE FUNCTION fluxgate.wallet_guard()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if new.version <> old.version + 1 or new.seq < old.seq
     or (new.id, new.account, new.asset) is distinct from (old.id, old.account, old.asset) then
    raise exception 'wallet %: version and seq only grow, its names stay', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $function$
;

CREATE TRIGGER guard BEFORE UPDATE ON account FOR EACH ROW EXECUTE FUNCTION account_guard();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON adjustment FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON adjustment FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE OF hash, project_id, expires_at, revoked_at, scopes, allowed_models, rate_limits ON api_key FOR EACH ROW EXECUTE FUNCTION key_changed();

CREATE TRIGGER in_turn BEFORE INSERT OR DELETE OR UPDATE OF hash, project_id, expires_at, revoked_at, scopes, allowed_models, rate_limits ON api_key FOR EACH STATEMENT EXECUTE FUNCTION key_changes_in_turn();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON audit_event FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER banned AFTER UPDATE OF banned ON auth_user FOR EACH ROW WHEN (new.banned AND NOT old.banned) EXECUTE FUNCTION person_banned();

CREATE TRIGGER changed AFTER UPDATE OF banned, ban_expires_at ON auth_user FOR EACH ROW WHEN (old.banned IS DISTINCT FROM new.banned OR old.ban_expires_at IS DISTINCT FROM new.ban_expires_at) EXECUTE FUNCTION person_changed();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON budget_charge FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON budget_charge FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON certificate FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON certificate FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON certified_log FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON certified_log FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON import_quarantine FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON import_repair FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON imported_airi_flux_transaction FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON legacy_receipt FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON legacy_receipt FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON log_checkpoint FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON log_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON log_cosignature FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON log_cosignature FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER guard BEFORE UPDATE ON log_head FOR EACH ROW EXECUTE FUNCTION log_head_guard();

CREATE TRIGGER no_delete BEFORE DELETE ON log_head FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON log_head FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON log_leaf FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON log_leaf FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER guard BEFORE UPDATE ON payment FOR EACH ROW EXECUTE FUNCTION payment_guard();

CREATE TRIGGER no_delete BEFORE DELETE ON payment FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON payment FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON payment_cash FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON payment_cash FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON payment_proration FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER limits_changed AFTER UPDATE OF allowed_models, rate_limits ON project FOR EACH ROW WHEN (old.allowed_models IS DISTINCT FROM new.allowed_models OR old.rate_limits IS DISTINCT FROM new.rate_limits) EXECUTE FUNCTION project_models_changed();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON receipt_batch FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER enqueue AFTER INSERT ON receipt_batch FOR EACH ROW EXECUTE FUNCTION enqueue_batch();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON receipt_batch FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON registry_version FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON registry_version FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON reported_log FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON reported_log FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON request_log FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON request_log FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON router_config FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON router_config FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON setting FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON setting FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON signed_document FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON signed_document FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON transfer FOR EACH ROW EXECUTE FUNCTION no_change();

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON transfer FOR EACH STATEMENT EXECUTE FUNCTION no_change();

CREATE TRIGGER fold_late AFTER INSERT OR UPDATE ON usage_15m FOR EACH ROW WHEN (new.bucket < (now() - '01:30:00'::interval)) EXECUTE FUNCTION fold_late_usage();

CREATE TRIGGER guard BEFORE UPDATE ON wallet FOR EACH ROW EXECUTE FUNCTION wallet_guard();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON welcomed_person FOR EACH ROW EXECUTE FUNCTION no_change();
