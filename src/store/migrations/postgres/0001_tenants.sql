create table feed (
    one bigint primary key check (one = 1),
    epoch uuid not null,
    pruned_to bigint not null
);

create table changes (
    position bigint primary key,
    at bigint not null,
    kind text not null,
    tenant uuid,
    names text not null
);

create table tenants (
    id uuid primary key,
    slug text not null,
    name text not null,
    state text not null,
    state_before text,
    progress bigint not null,
    plan text,
    upstream text,
    limits text not null,
    placement text not null,
    meta text,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    removed_at bigint
);

create table slugs (
    slug text primary key,
    tenant uuid not null references tenants (id),
    kind text not null check (kind in ('current', 'alias')),
    reserved_until bigint
);
create index slugs_by_tenant on slugs (tenant);

create table domains (
    pattern text not null,
    tenant uuid not null references tenants (id),
    state text not null,
    trusted bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (pattern, tenant)
);
create unique index domains_routed on domains (pattern) where state in ('active', 'degraded');
create index domains_by_tenant on domains (tenant);

create table signing_keys (
    kid text primary key,
    public_key bytea not null,
    sealed_private_key bytea not null,
    created_at bigint not null,
    active_from bigint not null,
    retired_at bigint
);

create table audit (
    id bigint generated always as identity primary key,
    at bigint not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null
);
