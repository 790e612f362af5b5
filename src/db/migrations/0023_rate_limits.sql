-- Rate limits of projects and keys, heard by gateways like any change of a key, and what several gateways without Redis count together.
-- Adds columns, tables and functions; the previous release goes on without limits.

alter table project add column rate_limits text check (octet_length(rate_limits) <= 1000); -- JSON; null: those of the settings
alter table api_key add column rate_limits text check (octet_length(rate_limits) <= 1000);

drop trigger in_turn on api_key;
create trigger in_turn before insert or delete or update of hash, project_id, expires_at, revoked_at, scopes, allowed_models, rate_limits
  on api_key for each statement execute function key_changes_in_turn();
drop trigger changed on api_key;
create trigger changed after insert or delete or update of hash, project_id, expires_at, revoked_at, scopes, allowed_models, rate_limits
  on api_key for each row execute function key_changed();
drop trigger models_changed on project;
create trigger limits_changed after update of allowed_models, rate_limits on project
  for each row when (old.allowed_models is distinct from new.allowed_models or old.rate_limits is distinct from new.rate_limits)
  execute function project_models_changed();

-- Lost in a crash, which is what they are worth: counts of the running minute, and calls that run.
create unlogged table rate_window (
  subject  text   primary key,
  minute   bigint not null, -- since 1970
  requests bigint not null,
  tokens   bigint not null
) with (fillfactor = 50);
create unlogged table rate_lease (
  subject    text        not null,
  id         text        not null,
  expires_at timestamptz not null,
  primary key (subject, id)
);
create index rate_lease_expiry on rate_lease (expires_at);

-- Counts a call for all its subjects or for none. A limit below zero is none. `refused` is 0, or ten times the place of the first
-- subject that refuses and 1 for requests, 2 for tokens, 3 for calls at once; the counts are as they are after this call.
create function rate_enter(p_id text, p_lease_ms bigint, p_subject text[], p_requests bigint[], p_tokens bigint[], p_concurrent bigint[])
returns table (refused integer, left_ms bigint, requests bigint[], tokens bigint[], concurrent bigint[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_ms bigint; v_minute bigint; v_refused integer := 0; v_r bigint[] := '{}'; v_t bigint[] := '{}'; v_c bigint[] := '{}';
  v_count bigint; w rate_window;
begin
  insert into rate_window (subject, minute, requests, tokens) select s, 0, 0, 0 from unnest(p_subject) s order by s on conflict do nothing;
  perform 1 from rate_window where subject = any (p_subject) order by subject for update;
  v_ms := (extract(epoch from clock_timestamp()) * 1000)::bigint; -- after the wait for the locks
  v_minute := v_ms / 60000;
  delete from rate_lease where subject = any (p_subject) and expires_at < clock_timestamp();
  for i in 1..cardinality(p_subject) loop
    select * into w from rate_window where subject = p_subject[i];
    if w.minute <> v_minute then
      w.requests := 0;
      w.tokens := case when p_tokens[i] < 0 then 0 else greatest(0, w.tokens - p_tokens[i] * (v_minute - w.minute)) end;
    end if;
    select count(*) into v_count from rate_lease where subject = p_subject[i];
    if v_refused = 0 then
      v_refused := case when p_requests[i] >= 0 and w.requests >= p_requests[i] then i * 10 + 1
                        when p_tokens[i] >= 0 and w.tokens >= p_tokens[i] then i * 10 + 2
                        when p_concurrent[i] >= 0 and v_count >= p_concurrent[i] then i * 10 + 3 else 0 end;
    end if;
    v_r := v_r || w.requests;
    v_t := v_t || w.tokens;
    v_c := v_c || v_count;
  end loop;
  if v_refused = 0 then
    for i in 1..cardinality(p_subject) loop
      v_r[i] := v_r[i] + 1;
      update rate_window set minute = v_minute, requests = v_r[i], tokens = v_t[i] where subject = p_subject[i];
      if p_concurrent[i] >= 0 then
        v_c[i] := v_c[i] + 1;
        insert into rate_lease (subject, id, expires_at)
        values (p_subject[i], p_id, clock_timestamp() + p_lease_ms * interval '1 millisecond') on conflict do nothing;
      end if;
    end loop;
  end if;
  return query select v_refused, 60000 - v_ms % 60000, v_r, v_t, v_c;
end $$;

-- Ends a call: what it used is counted in the minute in which it ended.
create function rate_leave(p_id text, p_subject text[], p_tokens bigint[], p_used bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare v_minute bigint;
begin
  delete from rate_lease where id = p_id and subject = any (p_subject);
  if p_used <= 0 then return; end if;
  perform 1 from rate_window where subject = any (p_subject) order by subject for update;
  v_minute := (extract(epoch from clock_timestamp()) * 1000)::bigint / 60000;
  update rate_window w set minute = v_minute, requests = case when w.minute = v_minute then w.requests else 0 end,
         tokens = p_used + case when w.minute = v_minute then w.tokens else greatest(0, w.tokens - o.tokens * (v_minute - w.minute)) end
  from unnest(p_subject, p_tokens) as o(subject, tokens) where w.subject = o.subject and o.tokens >= 0;
end $$;
