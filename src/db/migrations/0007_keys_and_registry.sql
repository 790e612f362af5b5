-- What a key may do, when it was last used, what replaced it, and a log of changes by which gateways notice a revocation even
-- when a notification is lost. Every content that the public registry of models ever had. The previous release keeps
-- working: its keys get the default scopes.

alter table project add column description text check (length(description) between 1 and 500); -- for people
comment on table project is 'A usage context: production, a client, a team, an application. Owns keys, charges one wallet, holds no aliases.';
comment on table api_key is 'What clients of a project present, as SHA-256. History belongs to the project.';

alter table api_key
  add column scopes       text[]      not null default '{inference,ingest,read}'
    check (scopes <@ array['inference', 'ingest', 'read', 'admin'] and cardinality(scopes) between 1 and 4 and array_position(scopes, null) is null),
  add column last_used_at timestamptz, -- to the minute or so: written behind the requests
  add column rotated_to   text        unique references api_key check (rotated_to <> id), -- the key that replaced it
  add column legacy       boolean     not null default false; -- made by another system, so its secret has any form

-- One row for each change of a key that decides whether or for what it is accepted. A number is never overtaken by a smaller
-- one: changes of keys commit one after the other.
create table key_change (
  revision   bigint      generated always as identity primary key,
  hash       bytea       not null check (length(hash) = 32),
  changed_at timestamptz not null default clock_timestamp()
);

create function key_changes_in_turn() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.key_change', 0));
  return null;
end $$;
create trigger in_turn before insert or delete or update of hash, project_id, expires_at, revoked_at, scopes
  on api_key for each statement execute function key_changes_in_turn();

create function key_changed() returns trigger language plpgsql as $$
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
end $$;
create trigger changed after insert or delete or update of hash, project_id, expires_at, revoked_at, scopes
  on api_key for each row execute function key_changed();

-- What /registry has served: each distinct content under its number, for ever. '*' is the whole registry, the others are
-- providers by the names that llmring gives them.
create table registry_version (
  name       text        not null check (name = '*' or name ~ '^[a-z0-9][a-z0-9-]{0,99}$'),
  version    integer     not null check (version > 0), -- without a gap for each name
  digest     bytea       not null check (length(digest) = 32), -- SHA-256 of the content
  content    text        not null check (octet_length(content) <= 16777216), -- canonical JSON
  updated_at timestamptz not null, -- of what the content was made from
  created_at timestamptz not null default clock_timestamp(),
  primary key (name, version),
  unique (name, digest)
);
create trigger append_only before update or delete on registry_version for each row execute function no_change();
create trigger no_truncate before truncate on registry_version execute function no_change();

-- The last good file of a registry that somebody else publishes, and when gateways asked for it: whoever moves asked_at asks.
create table registry_published (
  source       text        not null check (length(source) between 1 and 2000), -- its address
  provider     text        not null check (provider ~ '^[a-z0-9][a-z0-9-]{0,99}$'),
  asked_at     timestamptz not null,
  answered_at  timestamptz, -- the last good answer, also one that says that nothing has changed
  etag         text        check (length(etag) <= 200),
  content      text        check (octet_length(content) <= 4194304), -- as it was published
  primary key (source, provider)
);
