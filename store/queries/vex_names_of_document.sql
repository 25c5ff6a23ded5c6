-- Of which vulnerabilities it changes what is said when the tenant $1 attaches or takes back the file $2: what it names,
-- and what documents name that share an id with it as of snapshot $3. What the system attaches may meet a document of
-- anybody's. Behind $4, $5 at most.
with ids as (
    select name from vex.content_name where tenant_id = $1 and digest = $2 and what = 'document'
),
records as (
    select distinct m.feed_id, m.advisory_id
    from ids i join vex.mention m on m.name = i.name and m.what = 'document'
)
select distinct name as "name!" from (
    select name from vex.content_name where tenant_id = $1 and digest = $2 and what = 'vulnerability'
    union all
    select m.name from records o cross join lateral vex.listed_at(o.feed_id, o.advisory_id, $3) l
    join vex.mention m on m.feed_id = o.feed_id and m.advisory_id = o.advisory_id and m.revision = l.revision
                      and m.what = 'vulnerability'
    union all
    select n.name from ids i
    join vex.content_name c on c.name = i.name and c.what = 'document'
        and ($1::uuid = '00000000-0000-0000-0000-000000000000'
             or c.tenant_id in ($1, '00000000-0000-0000-0000-000000000000'))
    join vex.content_name n on n.tenant_id = c.tenant_id and n.digest = c.digest and n.what = 'vulnerability'
) named
where name > $4 order by 1 limit $5
