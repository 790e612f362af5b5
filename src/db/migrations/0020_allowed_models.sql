-- Which models a project's keys may use, and which one key: null allows all. Heard by gateways like any change of a key. Adds
-- columns; the previous release goes on allowing all.

alter table project add column allowed_models text[]
  check (cardinality(allowed_models) between 1 and 200 and array_position(allowed_models, null) is null);
alter table api_key add column allowed_models text[]
  check (cardinality(allowed_models) between 1 and 200 and array_position(allowed_models, null) is null);

drop trigger in_turn on api_key;
create trigger in_turn before insert or delete or update of hash, project_id, expires_at, revoked_at, scopes, allowed_models
  on api_key for each statement execute function key_changes_in_turn();
drop trigger changed on api_key;
create trigger changed after insert or delete or update of hash, project_id, expires_at, revoked_at, scopes, allowed_models
  on api_key for each row execute function key_changed();

create function project_models_changed() returns trigger language plpgsql as $$
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
end $$;
create trigger models_changed after update of allowed_models on project
  for each row when (old.allowed_models is distinct from new.allowed_models) execute function project_models_changed();
