-- What the documents name that a change of an issuer by the tenant $1 may concern: those of the authors $2, where $3
-- those that are signed, where $4 all. Records count as of snapshot $5. A change of the system's is everybody's. Behind
-- $6, $7 at most.
with by_author as (
    select distinct m.feed_id, m.advisory_id from vex.mention m where m.name = any ($2) and m.what = 'author'
),
records as (
    select feed_id, advisory_id from by_author
    union
    select p.feed_id, p.advisory_id from vex.published p where $4 or $3 and p.is_signed
),
contents as (
    select c.tenant_id, c.digest from vex.content_name c where c.name = any ($2) and c.what = 'author'
    union
    select a.tenant_id, a.digest from vex.attachment a where $4 or $3 and a.is_signed
)
select distinct name as "name!" from (
    select m.name from records r cross join lateral vex.listed_at(r.feed_id, r.advisory_id, $5) l
    join vex.mention m on m.feed_id = r.feed_id and m.advisory_id = r.advisory_id and m.revision = l.revision
                      and m.what = 'vulnerability'
    union all
    select n.name from contents c
    join vex.content_name n on n.tenant_id = c.tenant_id and n.digest = c.digest and n.what = 'vulnerability'
    where $1::uuid = '00000000-0000-0000-0000-000000000000'
       or c.tenant_id in ($1, '00000000-0000-0000-0000-000000000000')
) named
where name > $6 order by 1 limit $7
