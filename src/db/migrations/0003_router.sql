-- The router config and the hot settings, as versions that never change. Only adds tables: the previous release keeps working.

-- The newest version is the one that holds; taking one back writes its content again as a new one.
create table router_config (
  version     bigint      primary key check (version > 0),          -- without a gap: handed out under an advisory lock
  config      text        not null check (octet_length(config) <= 4194304), -- JSON, as it was written; keys are sealed in it
  digest      text        not null check (digest ~ '^sha256:[0-9a-f]{64}$'),
  author      text        not null check (length(author) between 1 and 100),
  reason      text        not null check (length(reason) between 1 and 500),
  parent      bigint      not null check (parent >= 0 and parent < version),
  rollback_of bigint      references router_config,
  created_at  timestamptz not null default clock_timestamp()
);
create trigger append_only before update or delete on router_config for each row execute function no_change();
create trigger no_truncate before truncate on router_config execute function no_change();

-- Every write of every setting. The newest row of a key holds; one without a value removes it.
create table setting (
  version    bigint      primary key check (version > 0), -- over all keys, without a gap
  key        text        not null check (length(key) between 1 and 100),
  value      text        check (octet_length(value) <= 1048576), -- JSON
  author     text        not null check (length(author) between 1 and 100),
  reason     text        not null check (length(reason) between 1 and 500),
  created_at timestamptz not null default clock_timestamp()
);
create index setting_key on setting (key, version desc);
create trigger append_only before update or delete on setting for each row execute function no_change();
create trigger no_truncate before truncate on setting execute function no_change();
