-- What `fluxgate import` has read from other systems and how far it is: docs/import.md. Only adds tables: the previous release
-- keeps working.

-- One row for each system that is imported. Its rows in other tables say `name` in imported_from.
create table import_run (
  name          text        primary key check (name ~ '^[a-z][a-z0-9_-]{0,31}$'),
  system        text        not null check (system in ('llmring', 'airi')),
  source        text        not null, -- JSON: server, database and schema, so that no other one is taken for it
  time_zone     text        not null, -- what its times without a zone are read as
  started_at    timestamptz not null default clock_timestamp(),
  serving_since timestamptz,          -- switched: its keys are accepted, its balances can be spent
  contracted_at timestamptz           -- what it resolved aliases with is gone from the source
);

-- The last run of each phase, with the figures that it printed.
create table import_phase (
  import      text        not null references import_run,
  phase       text        not null check (phase in ('plan', 'expand', 'backfill', 'verify', 'switch', 'contract')),
  ok          boolean     not null,
  finished_at timestamptz not null default clock_timestamp(),
  report      text        not null, -- JSON
  primary key (import, phase)
);

-- How far a table of the source is copied. Written in the commit of the rows, so a process may die anywhere.
create table import_progress (
  import   text    not null references import_run,
  relation text    not null,
  pass     integer not null default 0, -- complete passes over the table; after the first one only what is new is copied
  last     text,                       -- key of the last row of the last batch; null at the start of a pass
  copied   bigint  not null default 0,
  counts   text    not null default '{}', -- what was changed on the way, as JSON: name to number of rows
  primary key (import, relation)
);

-- Who owned rows in the source, by the SHA-256 of what it was called there: a header or the id of a project. Never the header.
create table import_tenant (
  import      text   not null references import_run,
  kind        text   not null check (kind in ('key', 'project', 'none')),
  source_hash bytea  not null check (length(source_hash) = 32),
  project_id  text   not null references project,
  primary key (import, kind, source_hash)
);

-- Keys of the source, by the SHA-256 that a request is looked up by. They become rows of api_key when the import is switched.
create table import_key (
  import     text    not null references import_run,
  hash       bytea   not null check (length(hash) = 32),
  project_id text    not null references project,
  key_id     text    not null,
  refused    text,   -- why it will not be accepted
  primary key (import, hash)
);

-- Rows that no table of ours can hold, whole and with the reason. They count in every sum that the import is checked by.
create table import_quarantine (
  import        text        not null references import_run,
  relation      text        not null,
  source_id     text        not null,
  reason        text        not null check (reason ~ '^[a-z][a-z_]{1,63}$'),
  project_id    text        references project,
  input_tokens  numeric,
  output_tokens numeric,
  cost          numeric,    -- dollars
  row           text        not null, -- JSON; no secret is in it
  at            timestamptz not null default clock_timestamp(),
  primary key (import, relation, source_id)
);

-- What was changed of a row that was kept, with the original.
create table import_repair (
  import    text not null references import_run,
  relation  text not null,
  source_id text not null,
  what      text not null check (what ~ '^[a-z][a-z_]{1,63}$'),
  original  text,
  primary key (import, relation, source_id, what)
);

-- AIRI: the balance that became an opening lot, and the history that led to it. Read-only: amounts are whole Flux.
create table imported_airi_balance (
  import      text        not null references import_run,
  user_id     text        not null,
  project_id  text        not null references project,
  flux        bigint      not null,
  ledger_flux numeric     not null, -- what the user's transactions add up to
  deleted_at  timestamptz,
  updated_at  timestamptz,
  ref         uuid,       -- of the opening credit; null when there is nothing to credit
  primary key (import, user_id)
);
create table imported_airi_flux_transaction (
  import         text        not null references import_run,
  id             text        not null,
  user_id        text        not null,
  type           text        not null,
  amount         bigint      not null,
  balance_before bigint      not null,
  balance_after  bigint      not null,
  request_id     text,
  description    text,
  metadata       text,       -- JSON
  created_at     timestamptz,
  primary key (import, id)
);
create index imported_airi_flux_transaction_user on imported_airi_flux_transaction (import, user_id, created_at);
create trigger append_only before update or delete on import_quarantine for each row execute function no_change();
create trigger append_only before update or delete on import_repair for each row execute function no_change();
create trigger append_only before update or delete on imported_airi_flux_transaction for each row execute function no_change();
