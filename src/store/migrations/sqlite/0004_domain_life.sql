alter table domains add column secret text not null default '';
alter table domains add column reason text not null default '';
alter table domains add column since integer not null default 0;
alter table domains add column looks integer not null default 0;
alter table domains add column checks text not null default '[]';
alter table domains add column checked_at integer;
alter table domains add column next_look_at integer;
update domains set secret = lower(hex(randomblob(16))), since = updated_at;
-- They had nothing to prove themselves with until now.
update domains set since = cast(strftime('%s', 'now') as integer) * 1000 where state = 'pending';
-- Spread over a day: there may be a hundred thousand.
update domains set next_look_at = cast(strftime('%s', 'now') as integer) * 1000 + abs(random()) % 86400000 where state <> 'removed';
create unique index domains_held on domains (pattern) where state in ('verified', 'active', 'degraded');
create index domains_due on domains (next_look_at) where next_look_at is not null;
create index domains_verified on domains (since) where state = 'verified';
