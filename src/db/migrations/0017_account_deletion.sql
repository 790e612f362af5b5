-- Accounts that are being deleted, so that a deletion which was begun is finished whatever happens to the process that began
-- it. Only adds a table: the previous release keeps working.

create table account_deletion (
  user_id      text        primary key check (length(user_id) between 1 and 64), -- names nobody any more once it is done
  project_id   text        references project, -- of the person; cleared at the end, so that no row says whose it was
  requested_at timestamptz not null default clock_timestamp(),
  parts        text[]      not null default '{}', -- what the running or last try got through
  tries        integer     not null default 0,
  error        text        check (length(error) between 1 and 200), -- of the last try: the part, and a code
  next_at      timestamptz not null default clock_timestamp() + interval '1 minute', -- when the sweeper looks at it
  leased_until timestamptz, -- somebody is at it
  erased_at    timestamptz, -- the person is gone
  closed_at    timestamptz, -- and what was written by calls that were still running, too
  check (closed_at is null or (erased_at is not null and project_id is null))
);
create index account_deletion_open on account_deletion (next_at) where closed_at is null;
