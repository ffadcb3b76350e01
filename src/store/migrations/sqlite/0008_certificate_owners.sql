-- The tenant that had the name when the certificate came, and has given it up since; null where it is whoever's has the name.
alter table certificate_names add column former blob;
-- Since when nobody needs it.
alter table certificate_names add column idle_since integer;
-- For wildcards: who has a name one label below.
create index domains_by_parent on domains ('*.' || substr(pattern, instr(pattern, '.') + 1))
    where state in ('verified', 'active', 'degraded');
