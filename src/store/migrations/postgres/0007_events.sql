create table events (
    id bigint generated always as identity primary key,
    uid uuid not null unique,
    at bigint not null,
    kind text not null,
    subject text not null,
    tenant uuid,
    data text not null
);
create index events_by_time on events (at);

create table webhooks (
    id uuid primary key,
    url text not null,
    kinds text not null,
    tenant uuid,
    allow_private bigint not null,
    sealed_secret bytea not null,
    sealed_old_secret bytea,
    old_secret_until bigint,
    created_at bigint not null,
    paused_at bigint,
    paused_why text,
    failing_since bigint,
    hold_until bigint not null
);

create table deliveries (
    id bigint generated always as identity primary key,
    webhook uuid not null references webhooks (id) on delete cascade,
    event bigint not null references events (id) on delete cascade,
    subject text not null,
    tenant_slug text,
    state text not null,
    created_at bigint not null,
    due_at bigint not null,
    lease uuid,
    attempts bigint not null default 0,
    tried_from bigint,
    tried_at bigint,
    status bigint,
    error text
);
create index deliveries_by_webhook on deliveries (webhook, id);
create index deliveries_by_event on deliveries (event);
create index deliveries_due on deliveries (webhook, due_at) where state = 'pending';
create index deliveries_in_order on deliveries (webhook, subject, id) where state = 'pending';
create index deliveries_under_way on deliveries (webhook) where lease is not null;
