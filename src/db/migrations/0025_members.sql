-- Members of shared projects: whom an owner has asked to join by an address, and which projects have lost their last owner.
-- Operators look for people by their addresses. Adds a table, a column and indexes; the previous release keeps working.

-- Whether there is an account with the address shows nowhere: only who has verified it sees that it is asked.
create table project_invitation (
  id         text        primary key check (id ~ '^inv_[a-z2-7]{20}$'),
  project_id text        not null references project,
  email      text        not null check (email = lower(email) and length(email) between 3 and 254),
  role       text        not null check (role in ('owner', 'editor', 'viewer')),
  invited_by text        not null references auth_user on delete cascade, -- who is no owner any more has invited nobody
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  unique (project_id, email)
);
create index project_invitation_email on project_invitation (email);
create index project_invitation_inviter on project_invitation (invited_by);
create index project_invitation_expiry on project_invitation (expires_at);

alter table project
  add column owner_lost_at timestamptz, -- the account of the last owner was deleted; null again with a new owner
  add check (owner_lost_at is null or not personal);
create index project_owner_lost on project (name) where owner_lost_at is not null;

create index auth_user_created on auth_user (created_at, id);
create index auth_user_email_prefix on auth_user (email text_pattern_ops);
