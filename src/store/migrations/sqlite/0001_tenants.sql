create table feed (
    one integer primary key check (one = 1),
    epoch blob not null,
    pruned_to integer not null
) strict;

create table changes (
    position integer primary key,
    at integer not null,
    kind text not null,
    tenant blob,
    names text not null
) strict;

create table tenants (
    id blob primary key,
    slug text not null,
    name text not null,
    state text not null,
    state_before text,
    progress integer not null,
    plan text,
    upstream text,
    limits text not null,
    placement text not null,
    meta text,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    removed_at integer
) strict;

create table slugs (
    slug text primary key,
    tenant blob not null references tenants (id),
    kind text not null check (kind in ('current', 'alias')),
    reserved_until integer
) strict;
create index slugs_by_tenant on slugs (tenant);

create table domains (
    pattern text not null,
    tenant blob not null references tenants (id),
    state text not null,
    trusted integer not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (pattern, tenant)
) strict;
create unique index domains_routed on domains (pattern) where state in ('active', 'degraded');
create index domains_by_tenant on domains (tenant);

create table signing_keys (
    kid text primary key,
    public_key blob not null,
    sealed_private_key blob not null,
    created_at integer not null,
    active_from integer not null,
    retired_at integer
) strict;

create table audit (
    id integer primary key autoincrement,
    at integer not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null
) strict;
