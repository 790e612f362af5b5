-- Webhooks of the operator: who is told of events, what was sent, and when a wallet counts as low. Adds columns and tables;
-- the previous release keeps working: what it queues is spread by this one.

-- Set when the event has become deliveries. A queue and not a cursor: numbers and times commit out of order, a row that
-- commits late is found all the same.
alter table operator_event add column spread boolean not null default false;
create index operator_event_waiting on operator_event (at, id) where not spread;

create table webhook_endpoint (
  id              text        primary key check (id ~ '^whe_[a-z2-7]{20}$'),
  url             text        not null check (length(url) between 1 and 2000),
  description     text        check (length(description) between 1 and 500),
  event_types     text[]      check (cardinality(event_types) between 1 and 100), -- null: all
  secret          text        not null, -- sealed
  secret_previous text,       -- sealed
  previous_until  timestamptz, -- as long as both sign
  enabled         boolean     not null default true,
  disabled_reason text        check (length(disabled_reason) between 1 and 100), -- gone, failing; null: the operator
  failing_since   timestamptz, -- nothing was delivered since
  created_at      timestamptz not null default now(),
  check ((secret_previous is null) = (previous_until is null)),
  check (not enabled or disabled_reason is null)
);

create table webhook_delivery (
  id              uuid        primary key default gen_random_uuid(),
  endpoint_id     text        not null references webhook_endpoint on delete cascade,
  event_id        uuid        not null references operator_event on delete cascade,
  state           text        not null default 'pending' check (state in ('pending', 'delivered', 'failed', 'discarded')),
  attempts        int         not null default 0 check (attempts >= 0), -- in all
  tries           int         not null default 0 check (tries >= 0), -- since it was last sent on its way
  next_attempt_at timestamptz not null default clock_timestamp(), -- of one that is being attempted: when the attempt counts as lost
  claim           uuid,       -- the attempt that is running
  last_status     int,
  last_error      text        check (octet_length(last_error) <= 2000),
  created_at      timestamptz not null default clock_timestamp(),
  delivered_at    timestamptz,
  unique (event_id, endpoint_id), -- an event becomes one delivery of an endpoint
  check ((state = 'delivered') = (delivered_at is not null))
);
create index webhook_delivery_due on webhook_delivery (endpoint_id, next_attempt_at) where state = 'pending';
create index webhook_delivery_listed on webhook_delivery (endpoint_id, created_at, id);

create table webhook_attempt (
  delivery_id uuid        not null references webhook_delivery on delete cascade,
  number      int         not null,
  at          timestamptz not null default clock_timestamp(), -- when it ended
  took_ms     int         not null,
  status      int,
  error       text        check (octet_length(error) <= 2000),
  primary key (delivery_id, number)
);

-- A wallet below its project's threshold is told once, and again only after it was at or above it.
alter table project
  add column low_balance_nanousd bigint check (low_balance_nanousd between 1 and 1000000000000000000), -- null: none
  add column low_since           timestamptz; -- when it was found below
create index project_low_balance on project (id) where low_balance_nanousd is not null;
