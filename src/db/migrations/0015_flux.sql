-- What people see of their Flux, grants to many of them at once, and taking back what is left of such a grant. Adds tables and a
-- function; the previous release keeps working.

-- Every lot that a wallet ever had, for the history of what expired.
create index account_wallet on account (wallet_id) where kind = 1;

-- One request to grant: the key with its whole request, so that a reused key is told from a repeated request.
create table flux_grant_batch (
  id              text        primary key check (id ~ '^fgb_[0-9a-f]{32}$'),
  idempotency_key text        not null unique check (length(idempotency_key) between 1 and 255),
  body_hash       bytea       not null check (length(body_hash) = 32),
  description     text        not null check (length(description) between 1 and 500),
  campaign        text        check (length(campaign) between 1 and 100),
  amount          bigint      not null check (amount > 0), -- nano-dollars, for each person
  expires_at      timestamptz,
  actor           text        not null,
  recipients      integer     not null check (recipients between 1 and 10000), -- that were asked for, each once
  created_at      timestamptz not null default clock_timestamp(),
  completed_at    timestamptz -- when everybody had been tried
);
create index flux_grant_batch_created on flux_grant_batch (created_at desc, id desc);

-- Who got it. Written in the transaction that credits; no address is kept.
create table flux_grant_recipient (
  batch_id   text        not null references flux_grant_batch,
  project_id text        not null references project,
  ref        uuid        not null unique references adjustment,
  taken_back uuid        unique references adjustment, -- the reversal
  at         timestamptz not null default clock_timestamp(),
  primary key (batch_id, project_id)
);

alter table adjustment drop constraint adjustment_kind_check;
alter table adjustment add constraint adjustment_kind_check check (kind in ('grant', 'refund', 'reversal'));

-- Takes back what is left of one grant: the rest of its lot, as far as no running call holds it. 'nothing': it is spent.
create function reverse_grant(
  p_slot smallint, p_ref uuid, p_grant uuid, p_reason text, p_actor text, p_body_hash bytea
) returns table (status text, amount bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_lot bigint; v_wallet bigint; v_asset smallint; v_source smallint; v_account bigint; v_rest bigint; v_free bigint; v_body bytea;
begin
  select t.credit, a.wallet_id into v_lot, v_wallet
  from transfer t join account a on a.id = t.credit
  where t.ref = p_grant and t.leg = 0 and t.code = 2 and a.kind = 1;
  if not found then return query select 'no_grant', 0::bigint; return; end if;
  select w.posted - w.held, w.asset into v_free, v_asset from wallet w where w.id = v_wallet for no key update;
  select a.body_hash into v_body from adjustment a where a.ref = p_ref;
  if found then
    return query select case when v_body = p_body_hash then 'already' else 'key_reused' end,
                        (select a.amount from adjustment a where a.ref = p_ref);
    return;
  end if;
  -- Read after the wait for the lock: by now nobody else changes the lot.
  select least(a.credits - a.debits, v_free) into v_rest from account a where a.id = v_lot;
  if v_rest <= 0 then return query select 'nothing', 0::bigint; return; end if;
  select s.kind into v_source from transfer t join account s on s.id = t.debit where t.ref = p_grant and t.leg = 0;
  select a.id into strict v_account from account a
   where a.kind = v_source and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
  insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
  values (p_ref, 0, 12, v_lot, v_account, v_asset, v_rest, p_grant);
  insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
  values (p_ref, 'reversal', v_wallet, v_rest, p_reason, p_actor, p_body_hash);
  update account a set debits = a.debits + v_rest, open = a.credits > a.debits + v_rest, version = a.version + 1 where a.id = v_lot;
  update account a set credits = a.credits + v_rest, version = a.version + 1 where a.id = v_account;
  update wallet w set posted = w.posted - v_rest, version = w.version + 1 where w.id = v_wallet;
  return query select 'reversed', v_rest;
end $$;
