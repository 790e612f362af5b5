-- Conversations as clients of llmring report them. What is said in them is kept only where a project asks for it. Only adds
-- columns with defaults and tables: the previous release keeps working.

alter table project
  add column content_logging text not null default 'none' check (content_logging in ('none', 'metadata', 'full')),
  add column content_retention_days integer not null default 30 check (content_retention_days between 1 and 3650);

create table conversation (
  id              uuid             primary key,
  wallet_id       bigint           not null references wallet, -- of the project: where the row lives when tables are spread
  project_id      text             not null references project,
  key_id          text             not null,
  title           text             check (length(title) between 1 and 500), -- content, as the prompt is
  system_prompt   text             check (octet_length(system_prompt) <= 1048576),
  alias_name      text             check (length(alias_name) between 1 and 255), -- a label: never resolved, refers to nothing
  temperature     double precision not null default 0.7 check (temperature between 0 and 2),
  max_tokens      bigint           check (max_tokens > 0),
  message_count   bigint           not null default 0, -- of those that were kept, also when they are gone by now
  input_tokens    bigint           not null default 0, -- as messages told; what calls cost is told by reported_log
  output_tokens   bigint           not null default 0,
  created_at      timestamptz      not null default clock_timestamp(),
  updated_at      timestamptz      not null default clock_timestamp(),
  last_message_at timestamptz
);
create index conversation_project on conversation (project_id, updated_at desc, id desc);
-- For the sweep, which forgets what was said.
create index conversation_content on conversation (project_id, updated_at) where title is not null or system_prompt is not null;

create table conversation_message (
  conversation_id uuid        not null references conversation,
  position        bigint      not null check (position >= 1), -- counts up within the conversation
  id              uuid        not null unique,
  wallet_id       bigint      not null references wallet,
  project_id      text        not null references project,
  role            text        not null check (length(role) between 1 and 32),
  content         text,       -- JSON, here and below; null where content is not kept
  tool_calls      text,
  tool_results    text,
  metadata        text        not null default '{}',
  content_hash    bytea       check (length(content_hash) = 32), -- of the text, where it is kept
  input_tokens    bigint      check (input_tokens >= 0),
  output_tokens   bigint      check (output_tokens >= 0),
  at              timestamptz not null default clock_timestamp(),
  primary key (conversation_id, position)
);
create index conversation_message_age on conversation_message (project_id, at);

-- The one call of a conversation that was reported as a whole. Clients of llmring report such a call twice, as a
-- conversation and as usage: whichever comes second finds the other here and is not counted again.
create table conversation_call (
  conversation_id uuid        primary key references conversation,
  call_id         uuid        not null unique references reported_log,
  project_id      text        not null references project,
  key_id          text        not null,
  created_at      timestamptz not null default clock_timestamp(),
  claimed_by      uuid        unique, -- what the id of the second report would have been; null until it comes
  claim_hash      bytea,      -- of its body
  check ((claimed_by is null) = (claim_hash is null))
);
create index conversation_call_open on conversation_call (key_id, created_at) where claimed_by is null;

create index if not exists reported_log_conversation on reported_log (project_id, conversation_id, occurred_at, id)
  where conversation_id is not null;
