-- Sign-in: what Better Auth keeps beside its users, under snake_case names. A ban is heard by every gateway as the change of
-- the keys of that person. Adds tables; the previous release keeps working.

create table auth_session (
  id         text        primary key,
  token      text        not null unique,
  user_id    text        not null references auth_user on delete cascade,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  ip_address text,
  user_agent text
);
create index auth_session_user on auth_session (user_id);
create index auth_session_expiry on auth_session (expires_at);

-- A way to sign in: a password, or an account at another provider.
create table auth_account (
  id                       text        primary key,
  user_id                  text        not null references auth_user on delete cascade,
  provider_id              text        not null,
  account_id               text        not null,
  access_token             text, -- encrypted, as the next two
  refresh_token            text,
  id_token                 text,
  access_token_expires_at  timestamptz,
  refresh_token_expires_at timestamptz,
  scope                    text,
  password                 text, -- scrypt
  created_at               timestamptz not null,
  updated_at               timestamptz not null,
  unique (provider_id, account_id)
);
create index auth_account_user on auth_account (user_id);

create table auth_verification (
  id         text        primary key,
  identifier text        not null, -- hashed
  value      text        not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index auth_verification_identifier on auth_verification (identifier);
create index auth_verification_expiry on auth_verification (expires_at);

-- People of another issuer of tokens, by the name that it gives them.
create table external_identity (
  issuer  text not null check (length(issuer) between 1 and 500),
  subject text not null check (length(subject) between 1 and 255),
  user_id text not null references auth_user on delete cascade,
  primary key (issuer, subject)
);
create index external_identity_user on external_identity (user_id);

create function person_changed() returns trigger language plpgsql as $$
declare
  v_hash bytea;
begin
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.key_change', 0));
  for v_hash in execute format(
    'select k.hash from %1$I.api_key k join %1$I.project p on p.id = k.project_id
     where (p.user_id = $1 or k.user_id = $1) and k.revoked_at is null', tg_table_schema) using new.id
  loop
    execute format('insert into %I.key_change (hash) values ($1)', tg_table_schema) using v_hash;
    perform pg_notify('fluxgate_key', encode(v_hash, 'hex'));
  end loop;
  return null;
end $$;
create trigger changed after update of banned, ban_expires_at on auth_user
  for each row when (old.banned is distinct from new.banned or old.ban_expires_at is distinct from new.ban_expires_at)
  execute function person_changed();
