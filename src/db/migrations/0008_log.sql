-- The public log. Every signed batch becomes a leaf of it: docs/transparency-log.md. Only adds tables and one trigger: the
-- previous release keeps working, and what it signs meanwhile waits in the queue.

-- Batches that are not in the log yet. A queue and not a cursor: a batch that commits late is simply still here. The trigger is
-- the only writer, so nothing that is signed can be forgotten; no other index and no foreign key, because settling pays for them.
create table log_queue (
  seq       bigint      generated always as identity primary key,
  batch_id  uuid        not null,
  queued_at timestamptz not null default clock_timestamp()
);
create function enqueue_batch() returns trigger language plpgsql as $$
begin
  insert into log_queue (batch_id) values (new.batch_id);
  return null;
end $$;
create trigger enqueue after insert on receipt_batch for each row execute function enqueue_batch();
insert into log_queue (batch_id) select batch_id from receipt_batch order by settled_at, batch_id;

-- One row per log; the one without an end is kept. A log that was given up stays, as evidence.
create table log_head (
  log_id     smallint    generated always as identity primary key,
  origin     text        not null unique check (origin ~ '^[!-*,-~]{1,255}$'), -- the name under which it signs
  public_key bytea       not null check (length(public_key) = 32),
  size       bigint      not null check (size between 0 and 9007199254740991),
  frontier   bytea       not null, -- the roots of its complete subtrees, from left to right: one for each bit of the size
  root       bytea       not null check (length(root) = 32),
  checkpoint text        not null, -- signed, byte for byte as it is published
  at         timestamptz not null default clock_timestamp(),
  ended_at   timestamptz,
  end_reason text        check (length(end_reason) between 1 and 500),
  check (length(frontier) = 32 * bit_count(int8send(size))),
  check ((ended_at is null) = (end_reason is null))
);
create unique index log_head_kept on log_head ((ended_at is null)) where ended_at is null;

-- Every size that was ever signed. The key forbids a second root for one size.
create table log_checkpoint (
  log_id smallint    not null references log_head,
  size   bigint      not null,
  root   bytea       not null check (length(root) = 32),
  at     timestamptz not null default clock_timestamp(),
  primary key (log_id, size)
);

create table log_leaf (
  log_id   smallint not null references log_head,
  idx      bigint   not null check (idx >= 0),
  batch_id uuid     not null references receipt_batch,
  root     bytea    not null check (length(root) = 32), -- of the batch: the data of the leaf
  primary key (log_id, idx),
  unique (log_id, batch_id)
);

-- What witnesses signed: the line that goes below the checkpoint of this size.
create table log_cosignature (
  log_id  smallint    not null,
  size    bigint      not null,
  witness text        not null check (length(witness) between 1 and 300), -- name and key id
  line    text        not null check (length(line) between 1 and 1000),
  at      timestamptz not null default clock_timestamp(),
  primary key (log_id, size, witness),
  foreign key (log_id, size) references log_checkpoint
);

create function log_head_guard() returns trigger language plpgsql as $$
begin
  if old.ended_at is not null or new.size < old.size
     or (new.log_id, new.origin, new.public_key) is distinct from (old.log_id, old.origin, old.public_key)
     or (new.size = old.size and (new.root, new.frontier, new.checkpoint) is distinct from (old.root, old.frontier, old.checkpoint)) then
    raise exception 'log %: it only grows', old.origin using errcode = 'integrity_constraint_violation';
  end if;
  if new.size > old.size
     and (not exists (select 1 from log_checkpoint c where c.log_id = new.log_id and c.size = new.size and c.root = new.root)
          or (select count(*) from log_leaf l where l.log_id = new.log_id and l.idx >= old.size) <> new.size - old.size
          or not exists (select 1 from log_leaf l where l.log_id = new.log_id and l.idx = new.size - 1)) then
    raise exception 'log %: its leaves are not 0 to %', old.origin, new.size - 1 using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
create trigger guard before update on log_head for each row execute function log_head_guard();
create trigger no_delete before delete on log_head for each row execute function no_change();
create trigger no_truncate before truncate on log_head execute function no_change();
create trigger append_only before update or delete on log_checkpoint for each row execute function no_change();
create trigger no_truncate before truncate on log_checkpoint execute function no_change();
create trigger append_only before update or delete on log_leaf for each row execute function no_change();
create trigger no_truncate before truncate on log_leaf execute function no_change();
create trigger append_only before update or delete on log_cosignature for each row execute function no_change();
create trigger no_truncate before truncate on log_cosignature execute function no_change();
