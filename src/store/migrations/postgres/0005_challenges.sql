create table challenges (
    name text collate "C" not null,
    kind text not null,
    token text not null,
    key_authorization text not null,
    expires_at bigint not null,
    primary key (name, kind, token)
);
create index challenges_by_end on challenges (expires_at);

create table ticket_keys (
    id uuid primary key,
    sealed_key bytea not null,
    created_at bigint not null
);

alter table domains add column minimum_tls text;
alter table domains add column client_ca text;
create index domains_by_tls on domains (pattern) where minimum_tls is not null or client_ca is not null;
