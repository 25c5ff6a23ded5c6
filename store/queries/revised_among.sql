-- Of the advisories $1, $2, those that say something else as of the snapshot $4 than as of the older one $3.
with ends as (
    select p.feed_id, p.advisory_id,
           (select max(o.revision) from vuln.observation o
            join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
            where o.feed_id = p.feed_id and o.advisory_id = p.advisory_id and s.snapshot_id <= $3) as before,
           (select max(o.revision) from vuln.observation o
            join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
            where o.feed_id = p.feed_id and o.advisory_id = p.advisory_id and s.snapshot_id <= $4) as after
    from unnest($1::text[], $2::text[]) as p(feed_id, advisory_id))
select e.feed_id as "feed_id!", e.advisory_id as "advisory_id!",
       case when b.digest <> '' then e.before end as "before?",
       case when a.digest <> '' then e.after end as "after?",
       a.digest = '' as "is_gone!"
from ends e
join vuln.observation a on a.feed_id = e.feed_id and a.advisory_id = e.advisory_id and a.revision = e.after
left join vuln.observation b on b.feed_id = e.feed_id and b.advisory_id = e.advisory_id and b.revision = e.before
where e.before is distinct from e.after
order by e.feed_id, e.advisory_id
