create table events (
    id integer primary key autoincrement,
    uid blob not null unique,
    at integer not null,
    kind text not null,
    subject text not null,
    tenant blob,
    data text not null
) strict;
create index events_by_time on events (at);

create table webhooks (
    id blob primary key,
    url text not null,
    kinds text not null,
    tenant blob,
    allow_private integer not null,
    sealed_secret blob not null,
    sealed_old_secret blob,
    old_secret_until integer,
    created_at integer not null,
    paused_at integer,
    paused_why text,
    failing_since integer,
    hold_until integer not null
) strict;

create table deliveries (
    id integer primary key autoincrement,
    webhook blob not null references webhooks (id) on delete cascade,
    event integer not null references events (id) on delete cascade,
    subject text not null,
    tenant_slug text,
    state text not null,
    created_at integer not null,
    due_at integer not null,
    lease blob,
    attempts integer not null default 0,
    tried_from integer,
    tried_at integer,
    status integer,
    error text
) strict;
create index deliveries_by_webhook on deliveries (webhook, id);
create index deliveries_by_event on deliveries (event);
create index deliveries_due on deliveries (webhook, due_at) where state = 'pending';
create index deliveries_in_order on deliveries (webhook, subject, id) where state = 'pending';
create index deliveries_under_way on deliveries (webhook) where lease is not null;
