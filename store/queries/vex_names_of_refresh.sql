-- Of which vulnerabilities the refresh $2 of the feed $1 changes what is said: what its records name, what those that
-- they supersede named, and what documents name that share an id with one of these as of snapshot $3. Behind $4, $5 at
-- most.
with revisions as (
    select o.feed_id, o.advisory_id, v.revision
    from vuln.observation o cross join lateral (values (o.revision), (o.revision - 1)) as v(revision)
    where o.feed_id = $1 and o.refresh = $2
),
ids as (
    select distinct m.name from revisions r
    join vex.mention m on m.feed_id = r.feed_id and m.advisory_id = r.advisory_id and m.revision = r.revision
                      and m.what = 'document'
),
-- Its own records are there already.
others as (
    select distinct m.feed_id, m.advisory_id
    from ids i join vex.mention m on m.name = i.name and m.what = 'document'
    where not exists (select from vuln.observation o
                      where o.feed_id = $1 and o.refresh = $2 and m.feed_id = $1 and o.advisory_id = m.advisory_id)
)
select distinct name as "name!" from (
    select m.name from revisions r
    join vex.mention m on m.feed_id = r.feed_id and m.advisory_id = r.advisory_id and m.revision = r.revision
                      and m.what = 'vulnerability'
    union all
    select m.name from others o cross join lateral vex.listed_at(o.feed_id, o.advisory_id, $3) l
    join vex.mention m on m.feed_id = o.feed_id and m.advisory_id = o.advisory_id and m.revision = l.revision
                      and m.what = 'vulnerability'
    union all
    select n.name from ids i
    join vex.content_name c on c.name = i.name and c.what = 'document'
    join vex.content_name n on n.tenant_id = c.tenant_id and n.digest = c.digest and n.what = 'vulnerability'
) named
where name > $4 order by 1 limit $5
