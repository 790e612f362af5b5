-- People beside projects. Each person has one wallet, that of a personal project, so that keys, receipts, statistics and
-- statements of people are those of any project. What operators do is written down for ever; what others should hear of is
-- queued in the transaction that made it true. Adds columns and tables; the previous release keeps working.

-- The users of Better Auth, under names that leave `account` to the ledger. No row of money or usage names anybody but by
-- `id`, so deleting the row takes away who it was.
create table auth_user (
  id             text        primary key check (id ~ '^[0-9A-Za-z_-]{1,64}$'),
  name           text        not null,
  email          text        not null unique check (email = lower(email)),
  email_verified boolean     not null default false,
  image          text,
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  last_seen_at   timestamptz,
  banned         boolean     not null default false,
  ban_reason     text        check (length(ban_reason) between 1 and 500),
  ban_expires_at timestamptz
);

alter table project
  add column personal boolean not null default false, -- the wallet of one person, also after that person has left
  add column user_id  text    unique references auth_user on delete set null, -- whose; null for a shared project
  add check (personal or user_id is null);

-- A member's key in a shared project. Keys of a personal project are that person's without it.
alter table api_key add column user_id text references auth_user on delete set null;
create index api_key_user on api_key (user_id) where user_id is not null;

create table project_member (
  project_id text        not null references project,
  user_id    text        not null references auth_user on delete cascade,
  role       text        not null check (role in ('owner', 'editor', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (project_id, user_id)
);
create index project_member_user on project_member (user_id);

-- Who has had the initial Flux, as a keyed digest of the e-mail address: it outlives the account and names nobody.
create table welcomed_person (
  email_digest bytea       primary key check (length(email_digest) = 32),
  at           timestamptz not null default clock_timestamp()
);
create trigger append_only before update or delete on welcomed_person for each row execute function no_change();

-- What operators and owners did. Ids only: nothing here may name a person, since nothing here can be erased.
create table audit_event (
  id         uuid        primary key, -- UUIDv7
  at         timestamptz not null default clock_timestamp(),
  actor      text        not null check (length(actor) between 1 and 100), -- admin, cli, system, or the id of a user
  action     text        not null check (action ~ '^[a-z_]+(\.[a-z_]+)+$'), -- key.revoke
  subject    text        check (length(subject) between 1 and 255), -- the id of what was changed
  before     text        check (octet_length(before) <= 65536), -- JSON
  after      text        check (octet_length(after) <= 65536), -- JSON
  request_id text        check (length(request_id) <= 100)
);
create index audit_event_at on audit_event (at, id);
create index audit_event_subject on audit_event (subject, at);
create trigger append_only before update or delete on audit_event for each row execute function no_change();
create trigger no_truncate before truncate on audit_event execute function no_change();

-- What the operator's webhooks are told: one row for each thing that happened, however often it is noticed.
create table operator_event (
  id   uuid        primary key, -- of what happened, so that it is told once
  type text        not null check (type ~ '^[a-z_]+(\.[a-z_]+)+$'), -- wallet.low
  at   timestamptz not null default clock_timestamp(),
  data text        not null check (octet_length(data) <= 16384) -- JSON
);
create index operator_event_at on operator_event (at, id);
