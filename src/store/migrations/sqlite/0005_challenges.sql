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
