-- The books: wallets, lots, transfers, holds, receipts. Why this shape: docs/ledger.md.
-- Amounts are BIGINT nano-dollars (asset 1). All times are the database's clock; no gateway clock enters a comparison.
-- One lock order keeps every function free of deadlocks: wallets by ascending id first, then rows that those wallets
-- own, then system accounts of the caller's own slot.

-- One row per customer. Nothing that belongs to a wallet changes without this row's lock.
create table wallet (
  id          bigint generated always as identity primary key,
  account     text        not null unique check (length(account) = 36 and left(account, 4) = 'acc_'), -- what receipts show instead of the id
  asset       smallint    not null default 1,
  posted      bigint      not null default 0, -- the sum of its lots
  held        bigint      not null default 0, -- the sum of its open holds
  seq         bigint      not null default 0, -- request numbers handed out, without a gap
  version     bigint      not null default 0,
  next_expiry timestamptz,                    -- when its earliest lot is due, so that "is any lot due?" costs nothing
  frozen      boolean     not null default false,
  check (held >= 0),
  check (posted >= held)                      -- never more than the balance
) with (fillfactor = 50);
create index wallet_expiry on wallet (next_expiry) where next_expiry is not null;

-- Two counters that only grow, never a signed balance.
create table account (
  id         bigint generated always as identity primary key,
  -- 1 lot (liability) 2 revenue 3 stripe clearing 4 promo expense 5 breakage 6 provider cost 7 provider payable
  kind       smallint    not null check (kind between 1 and 7),
  asset      smallint    not null default 1,
  wallet_id  bigint      references wallet,
  slot       smallint,    -- system accounts exist once per writer slot: no row is shared by two gateways
  class      smallint    check (class between 1 and 4), -- lots: 1 paid 2 promo 3 subscription 4 admin
  priority   smallint,    -- lots: the lower burns first
  expires_at timestamptz,
  open       boolean     not null default true,
  debits     bigint      not null default 0 check (debits >= 0),
  credits    bigint      not null default 0 check (credits >= 0),
  version    bigint      not null default 0,
  -- A lot belongs to a wallet and never goes negative; a system account belongs to a slot.
  check ((kind = 1) = (wallet_id is not null)),
  check ((kind = 1) = (slot is null)),
  check (kind <> 1 or (class is not null and priority is not null and credits >= debits)),
  check (open or credits = debits), -- what is closed is empty: settle only looks at open lots
  unique (id, asset)
) with (fillfactor = 70);
create unique index account_system on account (kind, asset, slot) where wallet_id is null;
create index account_lots on account (wallet_id, priority, expires_at, id) where kind = 1 and open;

-- One row is one debit and one credit of one amount: an imbalance cannot be written down.
create table transfer (
  ref      uuid        not null, -- request id, grant id, refund id: the same posting cannot exist twice
  leg      smallint    not null,
  code     smallint    not null, -- 1 top-up 2 grant 3 expiry 10 charge 11 refund 20 provider cost
  debit    bigint      not null,
  credit   bigint      not null,
  asset    smallint    not null,
  amount   bigint      not null check (amount > 0),
  reverses uuid,
  at       timestamptz not null default clock_timestamp(),
  primary key (ref, leg),
  check (debit <> credit),
  foreign key (debit, asset) references account (id, asset),
  foreign key (credit, asset) references account (id, asset)
);
create index transfer_debit on transfer (debit, at);
create index transfer_reverses on transfer (reverses) where reverses is not null;

-- Open authorisations. Each row is deleted by its one settlement.
create table hold (
  request_id uuid        primary key,
  attempt    uuid        not null, -- tells a re-sent reserve from a second caller with the same idempotency key
  wallet_id  bigint      not null references wallet,
  seq        bigint      not null,
  amount     bigint      not null check (amount between 0 and 1000000000000), -- no call is held for more than $1,000
  accrued    bigint      not null default 0 check (accrued between 0 and amount), -- durable progress of a stream
  accrued_usage text     not null default '{}', -- the usage vector that `accrued` pays for, as JSON
  extension  bigint      not null default 0, -- number of its last extension, and what that one was granted: a re-sent
  extended   bigint      not null default 0, -- extension adds nothing
  slot       smallint    not null,
  epoch      bigint      not null, -- fences a gateway that was taken for dead
  body_hash  bytea       not null, -- empty without an idempotency key
  context    text        not null, -- what a receipt needs beyond usage and charge, as JSON: the sweeper may have to write it
  created_at timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 70);
create index hold_expiry on hold (expires_at);

-- One row per settling commit: the Merkle root of its receipts, signed once.
create table receipt_batch (
  batch_id   uuid        primary key,
  key_id     text        not null,
  leaves     bytea       not null check (length(leaves) > 0 and length(leaves) % 32 = 0), -- 32 bytes each, in pos order
  root       bytea       not null check (length(root) = 32),
  sig        bytea       not null check (length(sig) = 64),
  settled_at timestamptz not null
);

-- The usage record and the receipt are one row, so they cannot disagree.
create table request_log (
  request_id    uuid        primary key,
  wallet_id     bigint      not null,
  seq           bigint      not null,
  outcome       smallint    not null check (outcome between 1 and 6), -- src/billing/outcome.ts
  charged       bigint      not null check (charged >= 0),
  absorbed      bigint      not null check (absorbed >= 0), -- used but not billed: the operator pays
  cost          bigint      not null check (cost >= 0),     -- what the provider asks
  key_id        text        not null,
  alias_name    text,       -- a label that came with the request; never resolved
  profile       text,
  origin        text,
  provider      text        not null,
  model         text        not null,
  usage_source  smallint    not null check (usage_source between 1 and 4), -- provider, counted, estimated, none
  input_tokens  bigint      not null check (input_tokens >= 0),
  output_tokens bigint      not null check (output_tokens >= 0),
  attempts      smallint    not null check (attempts >= 0),
  body_hash     bytea       not null,
  started_at    timestamptz not null,
  settled_at    timestamptz not null,
  batch_id      uuid        not null references receipt_batch,
  pos           smallint    not null check (pos >= 0), -- the receipt's leaf in its batch
  receipt       text        not null,                  -- the exact bytes that were hashed
  unique (wallet_id, seq),
  unique (batch_id, pos)
);

-- Fifteen-minute UTC buckets serve every civil time zone; written in the settling commit, so never behind.
create table usage_15m (
  wallet_id     bigint      not null,
  bucket        timestamptz not null,
  model         text        not null,
  calls         bigint      not null,
  input_tokens  bigint      not null,
  output_tokens bigint      not null,
  charged       bigint      not null,
  absorbed      bigint      not null,
  cost          bigint      not null,
  primary key (wallet_id, bucket, model)
) with (fillfactor = 70);

-- Why an operator moved money. `ref` is derived from the idempotency key, so a replay finds its row.
create table adjustment (
  ref        uuid        primary key,
  kind       text        not null check (kind in ('grant', 'refund')),
  wallet_id  bigint      not null references wallet,
  amount     bigint      not null check (amount > 0),
  reason     text        not null check (length(reason) between 1 and 500),
  actor      text        not null,
  body_hash  bytea       not null check (length(body_hash) = 32),
  created_at timestamptz not null default clock_timestamp()
);
create index adjustment_wallet on adjustment (wallet_id, created_at);

-- A gateway process writes under a slot that it leases; the epoch fences the previous owner.
create table gateway_slot (
  slot         smallint    primary key check (slot between 1 and 10000),
  epoch        bigint      not null,
  instance     text        not null,
  released     boolean     not null default false,
  heartbeat_at timestamptz not null
);

-- Guards ------------------------------------------------------------------------------------------------------------

create function no_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger append_only before update or delete on transfer for each row execute function no_change();
create trigger append_only before update or delete on request_log for each row execute function no_change();
create trigger append_only before update or delete on receipt_batch for each row execute function no_change();
create trigger append_only before update or delete on adjustment for each row execute function no_change();
create trigger no_truncate before truncate on transfer execute function no_change();
create trigger no_truncate before truncate on request_log execute function no_change();
create trigger no_truncate before truncate on receipt_batch execute function no_change();
create trigger no_truncate before truncate on adjustment execute function no_change();

create function wallet_guard() returns trigger language plpgsql as $$
begin
  if new.version <> old.version + 1 or new.seq < old.seq
     or (new.id, new.account, new.asset) is distinct from (old.id, old.account, old.asset) then
    raise exception 'wallet %: version and seq only grow, its names stay', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
create trigger guard before update on wallet for each row execute function wallet_guard();

create function account_guard() returns trigger language plpgsql as $$
begin
  if new.version <> old.version + 1 or new.debits < old.debits or new.credits < old.credits
     or (new.id, new.kind, new.asset, new.wallet_id, new.slot)
        is distinct from (old.id, old.kind, old.asset, old.wallet_id, old.slot) then
    raise exception 'account %: counters only grow, its owner stays', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
create trigger guard before update on account for each row execute function account_guard();

-- Slots -------------------------------------------------------------------------------------------------------------

-- Takes a slot: the instance's own (its data directory is locked, so its previous process is dead), else a free one,
-- else a new one. Raises the epoch, so the previous owner can no longer reserve or extend. A slot is not free while calls
-- are held under it: its owner may be cut off and not dead, and the sweeper gives those holds until they run out.
create function claim_slot(p_instance text, p_lease interval)
returns table (slot smallint, epoch bigint) language plpgsql as $$
#variable_conflict use_column
declare v_slot smallint; v_epoch bigint;
begin
  perform pg_advisory_xact_lock(hashtext('fluxgate gateway_slot'));
  select s.slot into v_slot from gateway_slot s
   where s.instance = p_instance
      or ((s.released or s.heartbeat_at < now() - 2 * p_lease) and not exists (select 1 from hold h where h.slot = s.slot))
   order by s.instance = p_instance desc, s.slot limit 1;
  if v_slot is null then
    select coalesce(max(s.slot), 0) + 1 into v_slot from gateway_slot s;
  end if;
  insert into gateway_slot as s (slot, epoch, instance, heartbeat_at) values (v_slot, 1, p_instance, now())
  on conflict (slot) do update
    set epoch = s.epoch + 1, instance = excluded.instance, released = false, heartbeat_at = excluded.heartbeat_at
  returning s.epoch into v_epoch;
  insert into account (kind, asset, slot) select k, 1, v_slot from unnest(array[2, 3, 4, 5, 6, 7]) k
  on conflict do nothing;
  return query select v_slot, v_epoch;
end $$;

-- A writer that was declared dead must not reserve again. SQLSTATE FG001 is ours.
create function require_slot(p_slot smallint, p_epoch bigint) returns void language plpgsql as $$
begin
  if not exists (select 1 from gateway_slot where slot = p_slot and epoch = p_epoch and not released) then
    raise exception 'slot % epoch % is no longer ours', p_slot, p_epoch using errcode = 'FG001';
  end if;
end $$;

-- Lots --------------------------------------------------------------------------------------------------------------

-- Expires due lots of wallets that the caller has locked. Never takes what open holds may still need: credits that
-- were reserved before their expiry stay usable by the running request.
create function expire_lots(p_slot smallint, p_wallet bigint[]) returns void language plpgsql as $$
begin
  with w as (
    select id, posted - held as free from wallet where id = any (p_wallet) and next_expiry <= now()
  ), lot as (
    select a.id, a.wallet_id, a.asset, a.credits - a.debits as rest, w.free,
           (sum(a.credits - a.debits) over (partition by a.wallet_id order by a.expires_at, a.id))::bigint as hi
    from account a join w on w.id = a.wallet_id
    where a.kind = 1 and a.open and a.expires_at <= now()
  ), take as materialized (
    select *, least(hi, free) - least(hi - rest, free) as amount from lot
  ), moved as (
    insert into transfer (ref, leg, code, debit, credit, asset, amount)
    -- Without an account to credit this fails, rather than taking money and booking it nowhere.
    select gen_random_uuid(), 1, 3, t.id, b.id, t.asset, t.amount
    from take t left join account b on b.kind = 5 and b.asset = t.asset and b.slot = p_slot and b.wallet_id is null
    where t.amount > 0
    returning credit, amount
  ), lots as (
    update account a set debits = a.debits + t.amount, open = t.amount < t.rest, version = a.version + 1
    from take t where a.id = t.id and (t.amount > 0 or t.rest = 0)
  ), breakage as (
    update account a set credits = a.credits + s.amount, version = a.version + 1
    from (select credit, sum(amount)::bigint as amount from moved group by credit) s where a.id = s.credit
  )
  update wallet x set posted = x.posted - s.amount, version = x.version + 1,
         next_expiry = least(case when s.left_over then now() + interval '1 minute' end,
                             (select min(a.expires_at) from account a
                              where a.wallet_id = x.id and a.kind = 1 and a.open and a.expires_at > now()))
  from (select w.id, coalesce(sum(t.amount), 0)::bigint as amount, coalesce(bool_or(t.amount < t.rest), false) as left_over
        from w left join take t on t.wallet_id = w.id group by w.id) s
  where x.id = s.id;
end $$;

-- Expires due lots of wallets that nobody calls. Returns how many wallets were looked at.
create function expire_quiet_wallets(p_slot smallint, p_limit integer) returns integer language plpgsql as $$
declare v_wallets bigint[];
begin
  select array_agg(id) into v_wallets from (
    select id from wallet where next_expiry <= now() order by id limit p_limit for no key update skip locked) w;
  if v_wallets is not null then perform expire_lots(p_slot, v_wallets); end if;
  return coalesce(cardinality(v_wallets), 0);
end $$;

-- Credits a wallet with a new lot. p_source is the account kind that pays: 3 stripe clearing, 4 promo expense.
-- Status: credited, already (same ref and body), key_reused (same ref, other body), no_wallet.
create function credit(p_slot smallint, p_ref uuid, p_wallet bigint, p_amount bigint, p_source smallint, p_class smallint,
                       p_priority smallint, p_expires timestamptz, p_reason text, p_actor text, p_body_hash bytea)
returns table (status text, lot_id bigint) language plpgsql as $$
declare v_lot bigint; v_asset smallint; v_source bigint; v_body bytea;
begin
  select w.asset into v_asset from wallet w where w.id = p_wallet for no key update;
  if not found then return query select 'no_wallet', null::bigint; return; end if;
  select a.body_hash into v_body from adjustment a where a.ref = p_ref;
  if found then
    select t.credit into v_lot from transfer t where t.ref = p_ref and t.leg = 0;
    return query select case when v_body = p_body_hash then 'already' else 'key_reused' end, v_lot;
    return;
  end if;
  select a.id into strict v_source from account a
   where a.kind = p_source and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
  insert into account (kind, asset, wallet_id, class, priority, expires_at, credits, version)
  values (1, v_asset, p_wallet, p_class, p_priority, p_expires, p_amount, 1) returning id into v_lot;
  insert into transfer (ref, leg, code, debit, credit, asset, amount)
  values (p_ref, 0, case p_source when 3 then 1 else 2 end, v_source, v_lot, v_asset, p_amount);
  insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
  values (p_ref, 'grant', p_wallet, p_amount, p_reason, p_actor, p_body_hash);
  update account set debits = debits + p_amount, version = version + 1 where id = v_source;
  update wallet set posted = posted + p_amount, version = version + 1, next_expiry = least(next_expiry, p_expires)
   where id = p_wallet;
  return query select 'credited', v_lot;
end $$;

-- Reserve -----------------------------------------------------------------------------------------------------------

-- Reserves a batch, in arrival order: whatever still fits is granted, down to its floor. A refused large call does not
-- block a small one behind it. Status per row: reserved, insufficient, in_flight, done, key_reused, frozen, no_wallet,
-- bad_amount. A re-sent attempt finds its own hold and is told 'reserved' again.
create function reserve(p_slot smallint, p_epoch bigint, p_ttl interval, p_request uuid[], p_attempt uuid[], p_wallet bigint[],
                        p_amount bigint[], p_floor bigint[], p_body bytea[], p_context text[])
returns table (status text, seq bigint, granted bigint, free bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_calls constant integer := cardinality(p_request);
  v_wallets bigint[]; v_free bigint[]; v_seq bigint[]; v_frozen boolean[]; v_due boolean; -- one element a wallet
  v_held bigint[]; v_taken bigint[];
  v_prior uuid[]; -- requests that are known already: rarely any
  v_status text[]; v_number bigint[]; v_granted bigint[]; v_shown bigint[]; -- one element a call
  w integer; v_got bigint; r record;
begin
  -- The locks are a statement of their own: what follows sees every other table as it is after the wait.
  select array_agg(id), array_agg(posted - held), array_agg(x.seq), array_agg(frozen), bool_or(next_expiry <= now())
    into v_wallets, v_free, v_seq, v_frozen, v_due
  from (select * from wallet where id = any (p_wallet) order by id for no key update) x;
  perform require_slot(p_slot, p_epoch);
  if v_due then
    perform expire_lots(p_slot, v_wallets);
    select array_agg(posted - held order by id) into v_free from wallet where id = any (v_wallets);
  end if;
  select array_agg(request_id) into v_prior
  from (select request_id from hold where request_id = any (p_request)
        union all select request_id from request_log where request_id = any (p_request)) x;

  v_status := array_fill('insufficient'::text, array[v_calls]);
  v_number := array_fill(null::bigint, array[v_calls]);
  v_granted := array_fill(0::bigint, array[v_calls]);
  v_shown := array_fill(null::bigint, array[v_calls]);
  v_held := array_fill(0::bigint, array[coalesce(cardinality(v_wallets), 0)]);
  v_taken := v_held;
  for i in 1..v_calls loop
    w := array_position(v_wallets, p_wallet[i]);
    if w is null then
      v_status[i] := 'no_wallet';
      continue;
    end if;
    v_shown[i] := v_free[w] + v_held[w]; -- as it was before this batch
    if v_prior is not null and p_request[i] = any (v_prior) then
      select coalesce(h.body_hash, l.body_hash) <> p_body[i] as differs, h.attempt = p_attempt[i] as mine,
             h.request_id is not null as open, coalesce(h.seq, l.seq) as seq, coalesce(h.amount, 0) as amount into r
      from (select p_request[i] as id) x left join hold h on h.request_id = x.id left join request_log l on l.request_id = x.id;
      v_status[i] := case when r.mine then 'reserved' when r.differs then 'key_reused'
                          when r.open then 'in_flight' else 'done' end;
      v_number[i] := r.seq;
      v_granted[i] := r.amount;
      -- Its first try may have been committed under a lease that was lost since: then nobody could extend it.
      if r.mine then
        update hold set slot = p_slot, epoch = p_epoch
        where request_id = p_request[i] and (slot <> p_slot or epoch <> p_epoch);
      end if;
    elsif v_frozen[w] then
      v_status[i] := 'frozen';
    elsif p_floor[i] < 0 or p_amount[i] < p_floor[i] or p_amount[i] > 1000000000000 then
      v_status[i] := 'bad_amount';
    else
      v_got := least(p_amount[i], v_free[w]);
      continue when v_got < p_floor[i];
      v_free[w] := v_free[w] - v_got;
      v_held[w] := v_held[w] + v_got;
      v_taken[w] := v_taken[w] + 1;
      v_status[i] := 'new';
      v_number[i] := v_seq[w] + v_taken[w];
      v_granted[i] := v_got;
    end if;
  end loop;

  -- A request that stands twice in the batch breaks the primary key here, and the whole batch with it.
  insert into hold (request_id, attempt, wallet_id, seq, amount, slot, epoch, body_hash, context, created_at, expires_at)
  select o.rid, o.attempt, o.wid, o.seq, o.amount, p_slot, p_epoch, o.body, o.context, now(), now() + p_ttl
  from unnest(p_request, p_attempt, p_wallet, v_number, v_granted, p_body, p_context, v_status)
       as o(rid, attempt, wid, seq, amount, body, context, status)
  where o.status = 'new';
  update wallet x set held = x.held + d.held, seq = x.seq + d.taken, version = x.version + 1
  from unnest(v_wallets, v_held, v_taken) as d(id, held, taken) where x.id = d.id and d.taken > 0;
  return query
  select case o.status when 'new' then 'reserved' else o.status end, o.seq, o.granted, o.free
  from unnest(v_status, v_number, v_granted, v_shown) as o(status, seq, granted, free);
end $$;

-- Extend ------------------------------------------------------------------------------------------------------------

-- Adds to holds of running streams and records their durable progress. Returns what was granted, 0 to p_add;
-- -1 when the hold is gone or no longer ours: the stream must stop. p_number grows with every extension of a hold: one
-- that is sent again is told what it was granted, and one that arrives after its successor changes nothing.
create function extend(p_slot smallint, p_epoch bigint, p_ttl interval, p_request uuid[], p_wallet bigint[], p_number bigint[],
                       p_add bigint[], p_accrued bigint[], p_usage text[])
returns table (granted bigint) language plpgsql as $$
#variable_conflict use_column
begin
  perform 1 from wallet where id = any (p_wallet) order by id for no key update;
  perform require_slot(p_slot, p_epoch);
  return query
  with op as materialized (
    select o.rid, o.wid, o.number, least(o.add, 1000000000000 - h.amount) as add, o.accrued, o.usage, o.n,
           w.posted - w.held as free0, h.extension, h.extended, row_number() over (partition by o.rid order by o.n) as nth
    from unnest(p_request, p_wallet, p_number, p_add, p_accrued, p_usage) with ordinality
         as o(rid, wid, number, add, accrued, usage, n)
    join wallet w on w.id = o.wid and not w.frozen
    join hold h on h.request_id = o.rid and h.wallet_id = o.wid and h.slot = p_slot and h.epoch = p_epoch
    where o.add >= 0 and o.accrued >= 0
  ), fresh as (
    select *, (sum(add) over (partition by wid order by n))::bigint as hi from op where number > extension and nth = 1
  ), g as materialized (
    select *, least(hi, free0) - least(hi - add, free0) as got from fresh
  ), holds as (
    update hold h set amount = h.amount + g.got, extension = g.number, extended = g.got,
           accrued = greatest(h.accrued, least(g.accrued, h.amount + g.got)),
           accrued_usage = case when g.accrued > h.accrued then g.usage else h.accrued_usage end,
           expires_at = now() + p_ttl
    from g where h.request_id = g.rid
  ), wallets as (
    update wallet w set held = w.held + s.got, version = w.version + 1
    from (select wid, sum(got)::bigint as got from g group by wid) s where w.id = s.wid
  )
  select case when op.n is null then -1 when g.n is not null then g.got
              when op.number = op.extension then op.extended else 0 end
  from unnest(p_request) with ordinality as o(rid, n) left join op on op.n = o.n left join g on g.n = o.n order by o.n;
end $$;

-- Settle ------------------------------------------------------------------------------------------------------------

-- Settles a batch: capture, partial capture or void (charge 0), with receipts and roll-up, all or nothing. The receipts
-- were hashed into one signed root, so either every row is settled in this commit or nothing is written and the statuses
-- say which rows to drop: settled | already, no_hold, exceeds_hold, seq_differs, ready.
create function settle(p_slot smallint, p_batch uuid, p_key text, p_root bytea, p_sig bytea, p_leaves bytea,
                       p_request uuid[], p_wallet bigint[], p_seq bigint[], p_charge bigint[], p_absorbed bigint[], p_cost bigint[],
                       p_outcome smallint[], p_key_id text[], p_alias text[], p_profile text[], p_origin text[], p_provider text[],
                       p_model text[], p_source smallint[], p_in bigint[], p_out bigint[], p_attempts smallint[], p_receipt text[])
returns table (status text, charged bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_calls constant integer := cardinality(p_request);
  v_wallets bigint[]; v_charged bigint[]; v_released bigint[]; v_first integer[]; -- one element a wallet
  v_hold bigint[]; v_created timestamptz[]; v_body bytea[]; -- one element a call
  v_lots bigint[]; v_owner bigint[]; v_rest bigint[]; v_burnt bigint[]; -- one element a lot, in burn order by wallet
  v_ref uuid[] := '{}'; v_leg smallint[] := '{}'; v_debit bigint[] := '{}'; v_amount bigint[] := '{}'; -- one element a transfer
  v_revenue bigint; v_cost_account bigint; v_payable bigint; v_total bigint := 0; v_costs bigint := 0;
  w integer; l integer; v_left bigint; v_part bigint; v_legs smallint; v_booked integer;
begin
  select array_agg(id) into v_wallets
  from (select id from wallet where id = any (p_wallet) order by id for no key update) x;
  select array_agg(h.amount order by o.n), array_agg(h.created_at order by o.n), array_agg(h.body_hash order by o.n)
    into v_hold, v_created, v_body
  from unnest(p_request, p_wallet, p_seq, p_charge) with ordinality as o(rid, wid, seq, charge, n)
  join hold h on h.request_id = o.rid and h.wallet_id = o.wid and h.seq = o.seq and o.charge between 0 and h.amount;
  if coalesce(cardinality(v_hold), 0) <> v_calls or length(p_leaves) <> 32 * v_calls
     or (v_calls > 1 and (select count(distinct rid) from unnest(p_request) as o(rid)) <> v_calls) then
    return query
    select case when g.request_id is not null or o.nth > 1 then 'already'
                when h.request_id is null then 'no_hold'
                when o.charge < 0 or o.charge > h.amount then 'exceeds_hold'
                when o.seq <> h.seq then 'seq_differs'
                else 'ready' end,
           g.charged
    from (select *, row_number() over (partition by rid order by n) as nth
          from unnest(p_request, p_wallet, p_seq, p_charge) with ordinality as u(rid, wid, seq, charge, n)) o
    left join request_log g on g.request_id = o.rid
    left join hold h on h.request_id = o.rid and h.wallet_id = o.wid
    order by o.n;
    return;
  end if;

  -- The waterfall: each charge, in queue order, burns the lots of its wallet in their order.
  select array_agg(id), array_agg(wallet_id), array_agg(rest) into v_lots, v_owner, v_rest
  from (select id, wallet_id, credits - debits as rest from account
        where kind = 1 and open and wallet_id = any (v_wallets) and credits > debits
        order by wallet_id, priority, expires_at nulls last, id) x;
  v_charged := array_fill(0::bigint, array[cardinality(v_wallets)]);
  v_released := v_charged;
  v_first := array_fill(null::integer, array[cardinality(v_wallets)]);
  v_burnt := array_fill(0::bigint, array[coalesce(cardinality(v_lots), 0)]);
  for i in 1..v_calls loop
    w := array_position(v_wallets, p_wallet[i]);
    v_charged[w] := v_charged[w] + p_charge[i];
    v_released[w] := v_released[w] + v_hold[i];
    v_total := v_total + p_charge[i];
    v_costs := v_costs + p_cost[i];
    v_left := p_charge[i];
    v_legs := 0;
    l := coalesce(v_first[w], array_position(v_owner, p_wallet[i]));
    while v_left > 0 loop
      -- posted >= held >= charge, so the lots of the wallet cover it; running past them is a broken ledger.
      if v_owner[l] is distinct from p_wallet[i] then
        raise exception 'wallet %: its lots do not cover what it has posted', p_wallet[i] using errcode = 'integrity_constraint_violation';
      end if;
      v_part := least(v_left, v_rest[l]);
      if v_part > 0 then
        v_legs := v_legs + 1;
        v_ref := v_ref || p_request[i];
        v_leg := v_leg || v_legs;
        v_debit := v_debit || v_lots[l];
        v_amount := v_amount || v_part;
        v_rest[l] := v_rest[l] - v_part;
        v_burnt[l] := v_burnt[l] + v_part;
        v_left := v_left - v_part;
      end if;
      if v_left > 0 then l := l + 1; end if;
    end loop;
    v_first[w] := l;
  end loop;

  -- From here on nothing refuses.
  insert into receipt_batch (batch_id, key_id, leaves, root, sig, settled_at)
  values (p_batch, p_key, p_leaves, p_root, p_sig, v_now);
  insert into request_log (request_id, wallet_id, seq, outcome, charged, absorbed, cost, key_id, alias_name, profile, origin,
                           provider, model, usage_source, input_tokens, output_tokens, attempts, body_hash, started_at,
                           settled_at, batch_id, pos, receipt)
  select rid, wid, seq, outcome, charge, absorbed, cost, key_id, alias, profile, origin, provider, model, source, tin, tout,
         attempts, body, created, v_now, p_batch, n - 1, receipt
  from unnest(p_request, p_wallet, p_seq, p_outcome, p_charge, p_absorbed, p_cost, p_key_id, p_alias, p_profile, p_origin,
              p_provider, p_model, p_source, p_in, p_out, p_attempts, v_body, v_created, p_receipt)
       with ordinality as o(rid, wid, seq, outcome, charge, absorbed, cost, key_id, alias, profile, origin,
                            provider, model, source, tin, tout, attempts, body, created, receipt, n);
  delete from hold where request_id = any (p_request);
  update wallet x set posted = x.posted - d.charged, held = x.held - d.released, version = x.version + 1
  from unnest(v_wallets, v_charged, v_released) as d(id, charged, released) where x.id = d.id;
  insert into usage_15m as u (wallet_id, bucket, model, calls, input_tokens, output_tokens, charged, absorbed, cost)
  select wid, date_bin('15 minutes', v_now, '2000-01-01 00:00+00'), model, count(*), sum(tin), sum(tout), sum(charge),
         sum(absorbed), sum(cost)
  from unnest(p_wallet, p_model, p_in, p_out, p_charge, p_absorbed, p_cost) as o(wid, model, tin, tout, charge, absorbed, cost)
  group by wid, model order by wid, model
  on conflict (wallet_id, bucket, model) do update set
    calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, charged = u.charged + excluded.charged,
    absorbed = u.absorbed + excluded.absorbed, cost = u.cost + excluded.cost;

  if v_total > 0 or v_costs > 0 then
    select max(id) filter (where kind = 2), max(id) filter (where kind = 6), max(id) filter (where kind = 7)
      into strict v_revenue, v_cost_account, v_payable
    from account where kind in (2, 6, 7) and asset = 1 and slot = p_slot and wallet_id is null;
    insert into transfer (ref, leg, code, debit, credit, asset, amount, at)
    select t.ref, t.leg, 10, t.debit, v_revenue, 1, t.amount, v_now
    from unnest(v_ref, v_leg, v_debit, v_amount) as t(ref, leg, debit, amount)
    -- What the providers ask is one pair per batch; a call's own share is in request_log.cost.
    union all select p_batch, 1, 20, v_cost_account, v_payable, 1, v_costs, v_now where v_costs > 0;
    update account a set debits = a.debits + d.burnt, version = a.version + 1, open = a.credits > a.debits + d.burnt
    from unnest(v_lots, v_burnt) as d(id, burnt) where a.id = d.id and d.burnt > 0;
    -- A refund of the same slot may be under way, so this may wait. Never with a UNION in its FROM: after a wait PostgreSQL
    -- looks such a row up again, does not find it, and leaves the account as it was without a word.
    update account a set debits = a.debits + d.debit, credits = a.credits + d.credit, version = a.version + 1
    from (values (v_revenue, 0, v_total), (v_cost_account, v_costs, 0), (v_payable, 0, v_costs)) as d(id, debit, credit)
    where a.id = d.id and (d.debit > 0 or d.credit > 0);
    get diagnostics v_booked = row_count;
    if v_booked <> (v_total > 0)::integer + 2 * (v_costs > 0)::integer then
      raise exception 'slot %: an account of its own was not found', p_slot using errcode = 'integrity_constraint_violation';
    end if;
  end if;
  return query select 'settled'::text, o.charge from unnest(p_charge) as o(charge);
end $$;

-- Refund ------------------------------------------------------------------------------------------------------------

-- Puts money of one charge back into the lots that it came from, last burnt first, never more than was charged. What
-- came from a lot that has expired since goes to a fresh lot of 30 days.
-- Status: refunded, already, key_reused, no_request, exceeds_charge.
create function refund(p_slot smallint, p_ref uuid, p_request uuid, p_amount bigint, p_reason text, p_actor text,
                       p_body_hash bytea)
returns text language plpgsql as $$
declare
  v_wallet bigint; v_asset smallint; v_charged bigint; v_back bigint; v_revenue bigint; v_body bytea;
  v_late bigint; v_class smallint; v_priority smallint; v_lots bigint[]; v_amounts bigint[]; v_fresh bigint;
begin
  select wallet_id, charged into v_wallet, v_charged from request_log where request_id = p_request;
  if not found then return 'no_request'; end if;
  select asset into v_asset from wallet where id = v_wallet for no key update;
  select body_hash into v_body from adjustment where ref = p_ref;
  if found then return case when v_body = p_body_hash then 'already' else 'key_reused' end; end if;
  select coalesce(sum(amount), 0) into v_back from transfer where reverses = p_request;
  if p_amount <= 0 or p_amount > v_charged - v_back then return 'exceeds_charge'; end if;
  select id into strict v_revenue from account where kind = 2 and asset = v_asset and slot = p_slot and wallet_id is null;

  -- Earlier refunds of this charge took the first v_back of the line; this one takes the next p_amount.
  with line as (
    select t.debit as lot_id, t.amount, (sum(t.amount) over (order by t.leg desc))::bigint as hi
    from transfer t where t.ref = p_request and t.code = 10
  ), part as (
    select a.id, a.class, a.priority, coalesce(a.expires_at <= now(), false) as late,
           least(l.hi, v_back + p_amount) - greatest(l.hi - l.amount, v_back) as amount
    from line l join account a on a.id = l.lot_id
    where l.hi > v_back and l.hi - l.amount < v_back + p_amount
  )
  select array_agg(id order by id) filter (where not late), array_agg(amount order by id) filter (where not late),
         sum(amount) filter (where late), min(class) filter (where late), min(priority) filter (where late)
    into v_lots, v_amounts, v_late, v_class, v_priority
  from part;

  if v_late > 0 then
    insert into account (kind, asset, wallet_id, class, priority, expires_at)
    values (1, v_asset, v_wallet, v_class, v_priority, now() + interval '30 days') returning id into v_fresh;
    v_lots := v_lots || v_fresh;
    v_amounts := v_amounts || v_late;
  end if;
  insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
  select p_ref, n, 11, v_revenue, lot_id, v_asset, amount, p_request
  from unnest(v_lots, v_amounts) with ordinality as p(lot_id, amount, n);
  insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
  values (p_ref, 'refund', v_wallet, p_amount, p_reason, p_actor, p_body_hash);
  update account a set credits = a.credits + p.amount, open = true, version = a.version + 1
  from unnest(v_lots, v_amounts) as p(lot_id, amount) where a.id = p.lot_id;
  update account set debits = debits + p_amount, version = version + 1 where id = v_revenue;
  update wallet set posted = posted + p_amount, version = version + 1,
         next_expiry = least(next_expiry, (select min(a.expires_at) from account a where a.id = any (v_lots)))
   where id = v_wallet;
  return 'refunded';
end $$;
