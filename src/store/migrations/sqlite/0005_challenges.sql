create table challenges (
    name text not null,
    kind text not null,
    token text not null,
    key_authorization text not null,
    expires_at integer not null,
    primary key (name, kind, token)
) strict;
create index challenges_by_end on challenges (expires_at);

create table ticket_keys (
    id blob primary key,
    sealed_key blob not null,
    created_at integer not null
) strict;

alter table domains add column minimum_tls text;
alter table domains add column client_ca text;
create index domains_by_tls on domains (pattern) where minimum_tls is not null or client_ca is not null;
