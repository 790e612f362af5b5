-- A wallet that is opened before its person has verified the address gets its gift when that is done. Adds a column; the previous
-- release goes on without it, and what it opens meanwhile is welcomed by this one.

alter table project add column welcomed boolean not null default false; -- it was decided whether this wallet gets the initial Flux
update project p set welcomed = true from auth_user u where u.id = p.user_id and u.email_verified;
