-- Of the advisories $1, $2, those that say something else as of the snapshot $4 than as of the older one $3.
with ends as (
    select p.feed_id, p.advisory_id,
           (select max(o.revision) from vuln.observation o
            join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
            where o.feed_id = p.feed_id and o.advisory_id = p.advisory_id and s.snapshot_id <= $3) as before,
           (select max(o.revision) from vuln.observation o
            join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
            where o.feed_id = p.feed_id and o.advisory_id = p.advisory_id and s.snapshot_id <= $4) as after
    from unnest($1::text[], $2::text[]) as p(feed_id, advisory_id)),
-- A revision without a difference says the same in other words.
meant as (
    select e.feed_id, e.advisory_id, d.revision, d.kind
    from ends e
    join vuln.observation o on o.feed_id = e.feed_id and o.advisory_id = e.advisory_id
                           and o.revision > coalesce(e.before, 0) and o.revision <= e.after
    join vuln.difference d on d.feed_id = o.feed_id and d.refresh = o.refresh and d.advisory_id = o.advisory_id
                          and d.revision = o.revision)
select e.feed_id as "feed_id!", e.advisory_id as "advisory_id!",
       case when b.digest <> '' then e.before end as "before?",
       case when a.digest <> '' then e.after end as "after?",
       (a.digest = '' or coalesce((select m.kind = 'withdrawn' from meant m
                                   where m.feed_id = e.feed_id and m.advisory_id = e.advisory_id
                                     and m.kind in ('withdrawn', 'restored')
                                   order by m.revision desc limit 1), false)) as "is_gone!"
from ends e
join vuln.observation a on a.feed_id = e.feed_id and a.advisory_id = e.advisory_id and a.revision = e.after
left join vuln.observation b on b.feed_id = e.feed_id and b.advisory_id = e.advisory_id and b.revision = e.before
where e.before is null
   or exists (select from meant m where m.feed_id = e.feed_id and m.advisory_id = e.advisory_id)
order by e.feed_id, e.advisory_id
