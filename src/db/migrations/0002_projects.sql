-- Usage contexts and what clients present. A project is a usage context (production, a client, a team): it owns keys and
-- charges one wallet. It never holds aliases: those are labels that arrive with a request.

create table project (
  id         text        primary key check (id ~ '^prj_[0-9a-z]{16,32}$'), -- public: receipts name it as project_key
  name       text        not null unique check (length(name) between 1 and 100),
  wallet_id  bigint      not null unique references wallet,
  created_at timestamptz not null default now()
);

-- A key is stored as its SHA-256 and shown once. History belongs to the project, not to the key.
create table api_key (
  id         text        primary key check (id ~ '^key_[0-9a-z]{16,32}$'),
  project_id text        not null references project,
  name       text        not null check (length(name) between 1 and 100),
  hash       bytea       not null unique check (length(hash) = 32),
  hint       text        not null, -- the last four characters, to recognise it by
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
create index api_key_project on api_key (project_id, created_at);

-- Public halves of the receipt signing keys. The private key never enters the database.
create table receipt_key (
  key_id     text        primary key check (key_id ~ '^rk_[0-9a-f]{16}$'),
  public_key bytea       not null check (length(public_key) = 32),
  not_before timestamptz not null default now(),
  not_after  timestamptz,
  revoked_at timestamptz
);
