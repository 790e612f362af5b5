-- Apps that sign people in with an account here: OpenID Connect, by the provider of Better Auth. Whatever an app was given
-- belongs to a session, and goes in the commit in which that session goes: signed out, deleted with the person, or over.
-- Adds tables; the previous release keeps working.

-- Keys that sign tokens; the private half is sealed with BETTER_AUTH_SECRET.
create table auth_jwk (
  id          text        primary key,
  public_key  text        not null, -- JWK
  private_key text        not null,
  created_at  timestamptz not null,
  expires_at  timestamptz, -- signs nothing after it
  alg         text,
  crv         text
);

-- Clients are those of OIDC_CLIENTS alone. Better Auth looks here first, and finds nobody, whoever tries to write.
create table oauth_client (
  id        text primary key,
  client_id text not null unique,
  check (false)
);

-- Who takes the tokens: this gateway, by the address that clients know.
create table oauth_resource (
  id         text primary key,
  identifier text not null unique
);

-- Each is used once; the row stays until its time is over, so that a second use is noticed.
create table oauth_refresh_token (
  id                         text        primary key,
  token                      text        not null unique, -- hashed
  client_id                  text        not null,
  session_id                 text        not null references auth_session on delete cascade,
  user_id                    text        not null references auth_user on delete cascade,
  reference_id               text,
  authorization_code_id      text,
  resources                  text, -- JSON, as the next and scopes
  requested_user_info_claims text,
  expires_at                 timestamptz not null,
  created_at                 timestamptz not null,
  revoked                    timestamptz,
  rotated_at                 timestamptz,
  rotation_replay_response   text,
  rotation_replay_expires_at timestamptz,
  auth_time                  timestamptz,
  confirmation               jsonb,
  scopes                     text        not null
);
create index oauth_refresh_token_session on oauth_refresh_token (session_id);
create index oauth_refresh_token_user on oauth_refresh_token (user_id, client_id);
create index oauth_refresh_token_code on oauth_refresh_token (authorization_code_id);
create index oauth_refresh_token_expiry on oauth_refresh_token (expires_at);

-- Tokens that are no JWT. None is issued: every token has this gateway as its audience. Better Auth looks here all the same.
create table oauth_access_token (
  id                         text        primary key,
  token                      text        not null unique, -- hashed
  client_id                  text        not null,
  session_id                 text        not null references auth_session on delete cascade,
  user_id                    text        not null references auth_user on delete cascade,
  reference_id               text,
  authorization_code_id      text,
  resources                  text,
  requested_user_info_claims text,
  refresh_id                 text        references oauth_refresh_token on delete cascade,
  expires_at                 timestamptz not null,
  created_at                 timestamptz not null,
  revoked                    timestamptz,
  confirmation               jsonb,
  scopes                     text        not null
);
create index oauth_access_token_session on oauth_access_token (session_id);
create index oauth_access_token_user on oauth_access_token (user_id);
create index oauth_access_token_code on oauth_access_token (authorization_code_id);
create index oauth_access_token_refresh on oauth_access_token (refresh_id);
create index oauth_access_token_expiry on oauth_access_token (expires_at);

-- A ban ends what apps were given for good; sessions are refused for as long as it lasts.
create function person_banned() returns trigger language plpgsql as $$
begin
  execute format('delete from %I.oauth_refresh_token where user_id = $1', tg_table_schema) using new.id;
  return null;
end $$;
create trigger banned after update of banned on auth_user
  for each row when (new.banned and not old.banned) execute function person_banned();
