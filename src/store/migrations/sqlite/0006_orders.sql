alter table certificates add column ca text;

create table certificate_orders (
    pattern text primary key,
    -- All zeros for the operator's own names.
    tenant blob not null,
    stage text not null,
    ca text,
    issued_by text,
    order_url text,
    kind text,
    sealed_key blob,
    replaces integer not null,
    placed_at integer,
    polls integer not null,
    attempts integer not null,
    failures integer not null,
    ca_failures integer not null,
    restarts integer not null,
    first_failed_at integer,
    last_error text,
    checks text not null,
    not_before integer,
    not_after integer,
    renew_at integer,
    window_start integer,
    window_end integer,
    ask_at integer,
    next_at integer not null,
    lease_holder text,
    lease_until integer not null,
    created_at integer not null,
    updated_at integer not null
) strict;
create index certificate_orders_by_stage on certificate_orders (stage, next_at);
create index certificate_orders_by_time on certificate_orders (next_at);
create index certificate_orders_by_lease on certificate_orders (lease_until);
create index certificate_orders_by_end on certificate_orders (not_after);
create index certificate_orders_by_tenant on certificate_orders (tenant);

create table certificate_turns (
    tenant blob primary key,
    turn integer not null
) strict;
create index certificate_turns_by_turn on certificate_turns (turn);

create table acme_accounts (
    ca text primary key,
    url text,
    sealed_credentials blob,
    lease_holder text,
    lease_until integer not null,
    created_at integer not null,
    updated_at integer not null
) strict;

create table acme_budgets (
    ca text not null,
    bucket text not null,
    name text not null,
    spent_until integer not null,
    primary key (ca, bucket, name)
) strict;
