-- Certificates keep the leaves that they name, so that the proof of one entry needs no other entry, and how many there are, so
-- that nothing has to be counted. Nothing was certified before: no release wrote to certified_log. The previous release
-- keeps working.

alter table certified_log add column leaf bytea not null check (length(leaf) = 32); -- hash of the entry, as it was certified

create table certificate (
  document_id  text    primary key references signed_document,
  project_id   text    not null references project,
  entries      integer not null check (entries between 1 and 10000),
  request_hash bytea   check (length(request_hash) = 32) -- of the body that came with its idempotency key
);
create index certificate_project on certificate (project_id);
create trigger append_only before update or delete on certificate for each row execute function no_change();
create trigger no_truncate before truncate on certificate execute function no_change();

create index if not exists reported_log_conversation on reported_log (project_id, conversation_id, occurred_at, id)
  where conversation_id is not null;
