-- Money that people pay by Stripe: customers, orders, subscriptions, invoices, and what each payment has credited. A payment is one
-- money object of Stripe (a payment intent, an invoice, or a checkout session that cost nothing), and is credited once, whichever
-- event tells of it. What Stripe takes back (refunds, disputes) is taken from the lot, then from the rest of the wallet, and what is
-- spent is owed: the wallet is frozen until it is paid. Adds tables and functions; the previous release keeps working.

-- 8 receivable: what customers owe since they had spent what Stripe took back.
alter table account drop constraint account_kind_check;
alter table account add constraint account_kind_check check (kind between 1 and 8);
insert into account (kind, asset, slot) select 8, 1, slot from gateway_slot on conflict do nothing;

create or replace function claim_slot(p_instance text, p_lease interval)
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
  insert into account (kind, asset, slot) select k, 1, v_slot from unnest(array[2, 3, 4, 5, 6, 7, 8]) k
  on conflict do nothing;
  return query select v_slot, v_epoch;
end $$;

alter table adjustment drop constraint adjustment_kind_check;
alter table adjustment add constraint adjustment_kind_check
  check (kind in ('grant', 'refund', 'reversal', 'claw_back', 'repayment', 'reinstatement'));

-- A person at Stripe. The row goes with the account; payments stay, and name nobody.
create table stripe_customer (
  id         text        primary key check (id ~ '^cus_\w{1,250}$'),
  project_id text        not null unique references project,
  created_at timestamptz not null default clock_timestamp()
);

-- A checkout, as it was when Stripe was last asked.
create table stripe_order (
  session_id        text        primary key check (length(session_id) <= 255),
  project_id        text        not null references project,
  mode              text        not null check (mode in ('payment', 'subscription')),
  price_id          text        not null,
  flux              bigint      not null check (flux > 0),
  status            text        not null,
  payment_status    text        not null,
  amount_total      bigint, -- smallest unit of the currency
  currency          text,
  payment_intent_id text,
  subscription_id   text,
  created_at        timestamptz not null,
  updated_at        timestamptz not null default clock_timestamp()
);
create index stripe_order_project on stripe_order (project_id, created_at desc, session_id desc);
create index stripe_order_intent on stripe_order (payment_intent_id) where payment_intent_id is not null;

create table stripe_subscription (
  id                   text        primary key check (length(id) <= 255),
  project_id           text        not null references project,
  price_id             text,
  status               text        not null,
  current_period_start timestamptz,
  current_period_end   timestamptz,
  cancel_at_period_end boolean     not null,
  canceled_at          timestamptz,
  ended_at             timestamptz,
  created_at           timestamptz not null,
  updated_at           timestamptz not null default clock_timestamp()
);
create index stripe_subscription_project on stripe_subscription (project_id, created_at desc, id desc);

create table stripe_invoice (
  id              text        primary key check (length(id) <= 255),
  project_id      text        not null references project,
  subscription_id text,
  status          text        not null,
  amount_due      bigint      not null,
  amount_paid     bigint      not null,
  currency        text        not null,
  hosted_url      text,
  pdf_url         text,
  period_start    timestamptz,
  period_end      timestamptz,
  created_at      timestamptz not null,
  updated_at      timestamptz not null default clock_timestamp()
);
create index stripe_invoice_project on stripe_invoice (project_id, created_at desc, id desc);

-- What Stripe has told. A row is applied once its object was fetched and booked; until then it is tried again.
create table stripe_event (
  id              text        primary key check (length(id) <= 255),
  type            text        not null check (length(type) <= 255),
  object_id       text        not null check (length(object_id) <= 255),
  object_type     text        not null check (length(object_type) <= 100),
  customer_id     text        check (length(customer_id) <= 255), -- events of one customer are applied one after the other
  received_at     timestamptz not null default clock_timestamp(),
  applied_at      timestamptz,
  attempts        integer     not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp() + interval '30 seconds',
  last_error      text        check (length(last_error) <= 500)
);
create index stripe_event_open on stripe_event (next_attempt_at) where applied_at is null;

-- One money object and what it did to a wallet. Nano-dollars but for `charged_minor`.
create table payment (
  id              text        primary key check (length(id) <= 255),
  kind            text        not null check (kind in ('top_up', 'subscription', 'auto_top_up')),
  project_id      text        not null references project,
  wallet_id       bigint      not null references wallet,
  ref             uuid        not null unique, -- of its credit, as its adjustment
  lot_id          bigint      not null references account,
  rolled_lot_id   bigint      references account, -- what was left of earlier periods when this one began
  subscription_id text,
  intent_id       text,
  amount          bigint      not null check (amount > 0),
  charged_minor   bigint      not null check (charged_minor >= 0), -- what the customer paid, smallest unit of the currency
  currency        text        not null,
  reversed        bigint      not null default 0, -- what Stripe has taken back of `amount`
  owed            bigint      not null default 0, -- the part of it that the wallet could not give yet
  changes         integer     not null default 0, -- claims and reinstatements so far: numbers their postings
  created_at      timestamptz not null default clock_timestamp(),
  check (reversed between 0 and amount),
  check (owed between 0 and reversed)
);
create index payment_wallet on payment (wallet_id, created_at);
create index payment_owed on payment (wallet_id) where owed > 0;
create index payment_intent on payment (intent_id) where intent_id is not null;
create index payment_subscription on payment (subscription_id, created_at) where subscription_id is not null;

-- An invoice that gives back a part of a period that was paid before: a change to a smaller plan.
create table payment_proration (
  invoice_id text   primary key,
  payment_id text   not null references payment,
  amount     bigint not null check (amount > 0)
);
create index payment_proration_payment on payment_proration (payment_id);

-- Movements of money at Stripe that belong to payments, by Stripe's balance transactions: what `stripe reconcile` compares.
create table payment_cash (
  transaction_id text        primary key check (length(transaction_id) <= 255),
  payment_id     text        not null references payment,
  kind           text        not null check (kind in ('charge', 'refund', 'dispute')),
  amount         bigint      not null, -- smallest unit, below zero where money left
  currency       text        not null, -- that of the balance
  at             timestamptz not null
);
create index payment_cash_at on payment_cash (at);
create index payment_cash_payment on payment_cash (payment_id);

create table auto_top_up (
  project_id      text        primary key references project,
  enabled         boolean     not null,
  threshold       bigint      not null check (threshold > 0), -- nano-dollars
  price_id        text        not null,
  currency        text,
  flux_per_month  bigint      not null check (flux_per_month > 0), -- the most that one UTC month buys
  failures        integer     not null default 0,
  disabled_reason text,
  updated_at      timestamptz not null default clock_timestamp()
);

-- One purchase by itself: written before Stripe is asked, so that a process that dies asks again under the same key.
create table auto_top_up_attempt (
  id         uuid        primary key,
  project_id text        not null references project,
  price_id   text        not null,
  flux       bigint      not null check (flux > 0),
  minor      bigint      not null check (minor > 0),
  currency   text        not null,
  state      text        not null default 'pending' check (state in ('pending', 'succeeded', 'failed')),
  intent_id  text,
  error      text        check (length(error) <= 500),
  created_at timestamptz not null default clock_timestamp(),
  ended_at   timestamptz
);
create unique index auto_top_up_pending on auto_top_up_attempt (project_id) where state = 'pending';
create index auto_top_up_month on auto_top_up_attempt (project_id, created_at);

-- A person's own threshold is told by mail, once until the balance was above it again.
alter table project add column low_mailed_at timestamptz;

create trigger append_only before update or delete on payment_cash for each row execute function no_change();
create trigger no_truncate before truncate on payment_cash execute function no_change();
create trigger append_only before update or delete on payment_proration for each row execute function no_change();
create trigger no_truncate before truncate on payment execute function no_change();
create trigger no_delete before delete on payment for each row execute function no_change();

create function payment_guard() returns trigger language plpgsql as $$
begin
  if new.changes < old.changes
     or (new.id, new.kind, new.project_id, new.wallet_id, new.ref, new.lot_id, new.amount, new.charged_minor, new.currency)
        is distinct from (old.id, old.kind, old.project_id, old.wallet_id, old.ref, old.lot_id, old.amount, old.charged_minor, old.currency) then
    raise exception 'payment %: what it credited stays', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
create trigger guard before update on payment for each row execute function payment_guard();

-- Takes from the free part of a locked wallet what it owes, the lots that burn last first, and thaws it when nothing is owed. The
-- wallet of somebody who has left stays frozen. Returns what was taken.
create function collect_owed(p_slot smallint, p_wallet bigint) returns bigint language plpgsql as $$
declare
  v_free bigint; v_asset smallint; v_owed bigint; v_take bigint; v_part bigint; v_step bigint; v_receivable bigint; v_ref uuid;
  v_leg smallint := 0; r record;
begin
  select coalesce(sum(p.owed), 0)::bigint into v_owed from payment p where p.wallet_id = p_wallet and p.owed > 0;
  select w.posted - w.held, w.asset into v_free, v_asset from wallet w where w.id = p_wallet;
  -- What is past its expiry is no money any more: it only waits for the calls that may still need it.
  select least(v_owed, v_free, coalesce(sum(a.credits - a.debits), 0))::bigint into v_take
  from account a where a.wallet_id = p_wallet and a.kind = 1 and a.open and (a.expires_at is null or a.expires_at > now());
  if v_take > 0 then
    v_ref := gen_random_uuid();
    select a.id into strict v_receivable from account a
     where a.kind = 8 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
    v_part := v_take;
    for r in select a.id, a.credits - a.debits as rest from account a
             where a.wallet_id = p_wallet and a.kind = 1 and a.open and a.credits > a.debits
               and (a.expires_at is null or a.expires_at > now())
             order by a.priority desc, a.expires_at desc nulls first, a.id desc loop
      exit when v_part = 0;
      v_step := least(r.rest, v_part);
      insert into transfer (ref, leg, code, debit, credit, asset, amount)
      values (v_ref, v_leg, 15, r.id, v_receivable, v_asset, v_step);
      update account a set debits = a.debits + v_step, open = r.rest > v_step, version = a.version + 1 where a.id = r.id;
      v_part := v_part - v_step;
      v_leg := v_leg + 1;
    end loop;
    insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
    values (v_ref, 'repayment', p_wallet, v_take, 'Owed since a payment was taken back', 'stripe', sha256(convert_to(v_ref::text, 'UTF8')));
    update account a set credits = a.credits + v_take, version = a.version + 1 where a.id = v_receivable;
    update wallet w set posted = w.posted - v_take, version = w.version + 1 where w.id = p_wallet;
    v_part := v_take;
    for r in select p.id, p.owed from payment p where p.wallet_id = p_wallet and p.owed > 0 order by p.created_at, p.id loop
      exit when v_part = 0;
      v_step := least(r.owed, v_part);
      update payment p set owed = p.owed - v_step where p.id = r.id;
      v_part := v_part - v_step;
    end loop;
  end if;
  update wallet w set frozen = f.frozen, version = w.version + 1
  from (select exists (select 1 from payment p where p.wallet_id = p_wallet and p.owed > 0)
            or exists (select 1 from project j where j.wallet_id = p_wallet and j.personal and j.user_id is null) as frozen) f
  where w.id = p_wallet and w.frozen <> f.frozen;
  return v_take;
end $$;

-- Credits what one money object of Stripe has paid for, once: the same object again is 'already', with another amount or project
-- 'key_reused'. Status 'credited', 'already', 'key_reused', 'no_project'.
create function credit_payment(
  p_slot smallint, p_payment text, p_kind text, p_project text, p_ref uuid, p_amount bigint, p_class smallint, p_priority smallint,
  p_expires timestamptz, p_minor bigint, p_currency text, p_reason text, p_body_hash bytea
) returns text language plpgsql as $$
declare v_wallet bigint; v_lot bigint; v_status text; v_prior payment;
begin
  select wallet_id into v_wallet from project where id = p_project;
  if not found then return 'no_project'; end if;
  perform 1 from wallet where id = v_wallet for no key update;
  select * into v_prior from payment where id = p_payment;
  if found then
    return case when v_prior.amount = p_amount and v_prior.project_id = p_project then 'already' else 'key_reused' end;
  end if;
  select c.status, c.lot_id into v_status, v_lot
  from credit(p_slot, p_ref, v_wallet, p_amount, 3::smallint, p_class, p_priority, p_expires, p_reason, 'stripe', p_body_hash) c;
  if v_status <> 'credited' then
    raise exception 'payment % has a credit but no row', p_payment using errcode = 'integrity_constraint_violation';
  end if;
  insert into payment (id, kind, project_id, wallet_id, ref, lot_id, amount, charged_minor, currency)
  values (p_payment, p_kind, p_project, v_wallet, p_ref, v_lot, p_amount, p_minor, p_currency);
  perform collect_owed(p_slot, v_wallet);
  return 'credited';
end $$;

-- Makes p_total what Stripe has taken back of a payment, in nano-dollars, all refunds and disputes together: said again it changes
-- nothing. More than before is taken from the payment's lot as far as no running call holds it, then from what of the lot has
-- expired unused, and the rest is owed. Less than before (a dispute was won, a refund failed) gives back. Returns the change.
create function claim_back(p_slot smallint, p_payment text, p_total bigint, p_reason text) returns bigint language plpgsql as $$
declare
  v payment; v_lot account; v_asset smallint; v_free bigint; v_more bigint; v_taken bigint; v_expired bigint; v_owed bigint; v_new bigint;
  v_clearing bigint; v_receivable bigint; v_breakage bigint; v_ref uuid := gen_random_uuid(); v_wallet bigint;
begin
  select wallet_id into v_wallet from payment where id = p_payment;
  if not found then return 0; end if;
  perform 1 from wallet where id = v_wallet for no key update;
  perform expire_lots(p_slot, array[v_wallet]);
  select * into strict v from payment where id = p_payment;
  select w.asset, w.posted - w.held into v_asset, v_free from wallet w where w.id = v_wallet;
  select * into strict v_lot from account a where a.id = v.lot_id;
  v_more := p_total - v.reversed;
  if v_more = 0 then
    perform collect_owed(p_slot, v_wallet); -- calls that held money may have ended
    return 0;
  end if;
  select a.id into strict v_clearing from account a where a.kind = 3 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
  select a.id into strict v_receivable from account a where a.kind = 8 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;

  if v_more > 0 then
    v_taken := greatest(least(v_more, v_lot.credits - v_lot.debits, v_free), 0);
    if v_taken > 0 then
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 0, 13, v.lot_id, v_clearing, v_asset, v_taken, v.ref);
      insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
      values (v_ref, 'claw_back', v_wallet, v_taken, p_reason, 'stripe', sha256(convert_to(v_ref::text, 'UTF8')));
      update account a set debits = a.debits + v_taken, open = a.credits > a.debits + v_taken, version = a.version + 1
      where a.id = v.lot_id;
      update wallet w set posted = w.posted - v_taken, version = w.version + 1 where w.id = v_wallet;
    end if;
    -- Nobody owes for what expired unused.
    select least(v_more - v_taken, coalesce((select sum(t.amount) from transfer t where t.debit = v.lot_id and t.code = 3), 0)
             - coalesce((select sum(t.amount) from transfer t where t.reverses = v.ref and t.code = 19), 0))::bigint into v_expired;
    if v_expired > 0 then
      select a.id into strict v_breakage from account a
       where a.kind = 5 and a.asset = v_asset and a.slot = p_slot and a.wallet_id is null;
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 1, 19, v_breakage, v_clearing, v_asset, v_expired, v.ref);
      update account a set debits = a.debits + v_expired, version = a.version + 1 where a.id = v_breakage;
    end if;
    v_owed := v_more - v_taken - v_expired;
    if v_owed > 0 then
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 2, 14, v_receivable, v_clearing, v_asset, v_owed, v.ref);
      update account a set debits = a.debits + v_owed, version = a.version + 1 where a.id = v_receivable;
    end if;
    update account a set credits = a.credits + v_more, version = a.version + 1 where a.id = v_clearing;
    update payment p set reversed = p_total, owed = p.owed + v_owed, changes = p.changes + 1 where p.id = p_payment;
  else
    v_owed := least(v.owed, -v_more);
    if v_owed > 0 then
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 1, 17, v_clearing, v_receivable, v_asset, v_owed, v.ref);
      update account a set credits = a.credits + v_owed, version = a.version + 1 where a.id = v_receivable;
    end if;
    v_taken := -v_more - v_owed;
    if v_taken > 0 then
      insert into account (kind, asset, wallet_id, class, priority, expires_at, credits, version)
      values (1, v_asset, v_wallet, v_lot.class, v_lot.priority,
              case when v_lot.expires_at is not null then greatest(v_lot.expires_at, now() + interval '30 days') end, v_taken, 1)
      returning id into v_new;
      insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
      values (v_ref, 0, 16, v_clearing, v_new, v_asset, v_taken, v.ref);
      insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
      values (v_ref, 'reinstatement', v_wallet, v_taken, p_reason, 'stripe', sha256(convert_to(v_ref::text, 'UTF8')));
      update wallet w set posted = w.posted + v_taken, version = w.version + 1,
             next_expiry = least(w.next_expiry, (select a.expires_at from account a where a.id = v_new))
      where w.id = v_wallet;
    end if;
    update account a set debits = a.debits - v_more, version = a.version + 1 where a.id = v_clearing;
    update payment p set reversed = p_total, owed = p.owed - v_owed, changes = p.changes + 1 where p.id = p_payment;
  end if;
  perform collect_owed(p_slot, v_wallet);
  return v_more;
end $$;

-- Moves what is left of a subscription's earlier lots, at most p_cap, into one that lives as long as this payment's. Once a payment.
-- Returns what was moved.
create function roll_over(p_slot smallint, p_payment text, p_cap bigint) returns bigint language plpgsql as $$
declare
  v payment; v_lot account; v_free bigint; v_take bigint; v_part bigint; v_step bigint; v_new bigint; v_ref uuid := gen_random_uuid();
  v_lots bigint[]; v_leg smallint := 0; r record;
begin
  perform 1 from wallet w where w.id = (select p.wallet_id from payment p where p.id = p_payment) for no key update;
  select * into strict v from payment where id = p_payment;
  if v.rolled_lot_id is not null or v.subscription_id is null then return 0; end if;
  perform expire_lots(p_slot, array[v.wallet_id]);
  select * into strict v_lot from account a where a.id = v.lot_id;
  select w.posted - w.held into v_free from wallet w where w.id = v.wallet_id;
  select array_agg(a.id order by a.id desc), least(p_cap, v_free, coalesce(sum(a.credits - a.debits), 0))::bigint into v_lots, v_take
  from account a
  where a.wallet_id = v.wallet_id and a.kind = 1 and a.open and a.credits > a.debits and a.expires_at > now()
    and a.expires_at < v_lot.expires_at
    and a.id in (select unnest(array[p.lot_id, p.rolled_lot_id]) from payment p where p.subscription_id = v.subscription_id and p.id <> v.id);
  if v_take <= 0 then return 0; end if;
  insert into account (kind, asset, wallet_id, class, priority, expires_at, credits, version)
  values (1, v_lot.asset, v.wallet_id, v_lot.class, v_lot.priority, v_lot.expires_at, v_take, 1) returning id into v_new;
  v_part := v_take;
  for r in select a.id, a.credits - a.debits as rest from account a where a.id = any (v_lots) order by a.id desc loop
    exit when v_part = 0;
    v_step := least(r.rest, v_part);
    insert into transfer (ref, leg, code, debit, credit, asset, amount, reverses)
    values (v_ref, v_leg, 18, r.id, v_new, v_lot.asset, v_step, v.ref);
    update account a set debits = a.debits + v_step, open = r.rest > v_step, version = a.version + 1 where a.id = r.id;
    v_part := v_part - v_step;
    v_leg := v_leg + 1;
  end loop;
  update payment p set rolled_lot_id = v_new where p.id = p_payment;
  return v_take;
end $$;
