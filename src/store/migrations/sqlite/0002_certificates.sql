create table certificates (
    id blob primary key,
    names text not null,
    chain text not null,
    sealed_key blob not null,
    not_before integer not null,
    not_after integer not null,
    source text not null,
    fingerprint text not null,
    created_at integer not null
) strict;
create index certificates_by_end on certificates (not_after, not_before);

create table certificate_names (
    pattern text primary key,
    certificate blob not null references certificates (id)
) strict;
create index certificate_names_by_certificate on certificate_names (certificate);
