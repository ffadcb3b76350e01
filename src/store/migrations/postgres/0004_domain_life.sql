alter table domains add column secret text not null default '';
alter table domains add column reason text not null default '';
alter table domains add column since bigint not null default 0;
alter table domains add column looks bigint not null default 0;
alter table domains add column checks text not null default '[]';
alter table domains add column checked_at bigint;
alter table domains add column next_look_at bigint;
update domains set secret = replace(gen_random_uuid()::text, '-', ''), since = updated_at;
-- They had nothing to prove themselves with until now.
update domains set since = cast(extract(epoch from now()) * 1000 as bigint) where state = 'pending';
-- Spread over a day: there may be a hundred thousand.
update domains set next_look_at = cast(extract(epoch from now()) * 1000 + random() * 86400000 as bigint) where state <> 'removed';
create unique index domains_held on domains (pattern) where state in ('verified', 'active', 'degraded');
create index domains_due on domains (next_look_at) where next_look_at is not null;
create index domains_verified on domains (since) where state = 'verified';
