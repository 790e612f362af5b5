-- What a call under an idempotency key was answered, so that the same request gets the same answer again. Sealed with the
-- caller's own key: nobody who reads the table can read an answer. A release without this table answers 409 instead.
create table stored_outcome (
  request_id uuid        primary key,
  expires_at timestamptz not null,
  sealed     bytea       not null
);
create index stored_outcome_expiry on stored_outcome (expires_at);
