-- Statements other than receipts of calls that the operator signs, and receipts of other systems. Only adds tables: the
-- previous release keeps working.

-- Certificates of reported usage, daily statements of wallets, lists of keys. Each is a leaf of a batch, like a receipt.
create table signed_document (
  id         text        primary key check (id ~ '^(crt|stm|kms)_[0-9a-f]{32}$'),
  kind       text        not null check (kind in ('certificate', 'statement', 'keys')),
  wallet_id  bigint      references wallet, -- whose it is; null for what is everybody's
  project_id text        references project,
  period     text        check (length(period) between 1 and 32), -- what it is about, where there is one of each: '2026-12-01'
  issued_at  timestamptz not null,
  batch_id   uuid        not null references receipt_batch,
  pos        integer     not null check (pos >= 0),
  document   text        not null check (octet_length(document) <= 262144), -- the canonical text that was hashed
  unique (batch_id, pos)
);
create unique index signed_document_period on signed_document (kind, wallet_id, period) where period is not null;
create index signed_document_project on signed_document (project_id, kind, issued_at, id);
create trigger append_only before update or delete on signed_document for each row execute function no_change();
create trigger no_truncate before truncate on signed_document execute function no_change();

-- Which certificate vouches for a reported call: one, and only once.
create table certified_log (
  log_id      uuid    primary key references reported_log,
  document_id text    not null references signed_document,
  pos         integer not null check (pos >= 0), -- its leaf in the tree that the certificate names
  unique (document_id, pos)
);
create trigger append_only before update or delete on certified_log for each row execute function no_change();
create trigger no_truncate before truncate on certified_log execute function no_change();

-- Receipts that llmring-server signed: the bytes that were signed, and its public keys. Nothing is signed with those again.
create table legacy_receipt_key (
  key_id     text        primary key check (length(key_id) between 1 and 255),
  public_key bytea       not null unique check (length(public_key) = 32),
  added_at   timestamptz not null default now()
);
create table legacy_receipt (
  receipt_id text        primary key check (length(receipt_id) between 1 and 255),
  project_id text        not null references project,
  payload    text        not null, -- exactly what was signed
  signature  text        not null,
  key_id     text        references legacy_receipt_key, -- whose signature it is; null when none of the known keys made it
  unsigned   text        not null default '{}', -- members that stood beside it and were never signed, as JSON
  alias_name text,       -- what the payload says, to search by: never a part of it
  model_used text,
  issued_at  timestamptz not null,
  imported_at timestamptz not null default now()
);
create index legacy_receipt_project on legacy_receipt (project_id, issued_at, receipt_id);
create trigger append_only before update or delete on legacy_receipt for each row execute function no_change();
create trigger no_truncate before truncate on legacy_receipt execute function no_change();
