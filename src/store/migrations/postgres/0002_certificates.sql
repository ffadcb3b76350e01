create table certificates (
    id uuid primary key,
    names text not null,
    chain text not null,
    sealed_key bytea not null,
    not_before bigint not null,
    not_after bigint not null,
    source text not null,
    fingerprint text not null,
    created_at bigint not null
);
create index certificates_by_end on certificates (not_after, not_before);

create table certificate_names (
    pattern text collate "C" primary key,
    certificate uuid not null references certificates (id)
);
create index certificate_names_by_certificate on certificate_names (certificate);
