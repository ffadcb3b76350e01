create table events (
    id bigint generated always as identity primary key,
    at bigint not null,
    kind text not null,
    subject text not null,
    tenant uuid,
    data text not null
);
