create table events (
    id integer primary key autoincrement,
    at integer not null,
    kind text not null,
    subject text not null,
    tenant blob,
    data text not null
) strict;
