-- The tenant that had the name when the certificate came, and has given it up since; null where it is whoever's has the name.
alter table certificate_names add column former uuid;
-- Since when nobody needs it.
alter table certificate_names add column idle_since bigint;
-- For wildcards: who has a name one label below.
create index domains_by_parent on domains (('*.' || substr(pattern, strpos(pattern, '.') + 1)))
    where state in ('verified', 'active', 'degraded');
-- Of what was brought before, what belongs to a tenant that had the name once while nobody has it now.
update certificate_names set former = (
    select d.tenant from domains d where d.pattern = certificate_names.pattern and d.state in ('removed', 'lapsed')
    order by d.updated_at desc limit 1)
    where certificate in (select id from certificates where source <> 'acme')
    and not exists (select 1 from domains d where d.pattern = certificate_names.pattern
        and d.state in ('verified', 'active', 'degraded'));
-- Validity alone, without the chains that stand beside it.
create index certificates_validity on certificates (id, not_before, not_after);
