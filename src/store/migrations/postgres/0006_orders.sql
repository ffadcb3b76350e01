alter table certificates add column ca text;

create table certificate_orders (
    pattern text collate "C" primary key,
    -- All zeros for the operator's own names.
    tenant uuid not null,
    stage text not null,
    ca text,
    issued_by text,
    order_url text,
    kind text,
    sealed_key bytea,
    replaces bigint not null,
    placed_at bigint,
    polls bigint not null,
    attempts bigint not null,
    failures bigint not null,
    ca_failures bigint not null,
    restarts bigint not null,
    first_failed_at bigint,
    last_error text,
    checks text not null,
    not_before bigint,
    not_after bigint,
    renew_at bigint,
    window_start bigint,
    window_end bigint,
    ask_at bigint,
    next_at bigint not null,
    lease_holder text,
    lease_until bigint not null,
    created_at bigint not null,
    updated_at bigint not null
);
create index certificate_orders_by_stage on certificate_orders (stage, next_at);
create index certificate_orders_by_time on certificate_orders (next_at);
create index certificate_orders_by_lease on certificate_orders (lease_until);
create index certificate_orders_by_end on certificate_orders (not_after);
create index certificate_orders_by_tenant on certificate_orders (tenant);

create table certificate_turns (
    tenant uuid primary key,
    turn bigint not null
);
create index certificate_turns_by_turn on certificate_turns (turn);

create table acme_accounts (
    ca text primary key,
    url text,
    sealed_credentials bytea,
    lease_holder text,
    lease_until bigint not null,
    created_at bigint not null,
    updated_at bigint not null
);

create table acme_budgets (
    ca text not null,
    bucket text not null,
    name text not null,
    spent_until bigint not null,
    primary key (ca, bucket, name)
);
