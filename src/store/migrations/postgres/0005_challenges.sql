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
