-- Every number up to the latest whose snapshot is not there or does not hold what it must: as many revisions as were
-- counted; or, where no feed made it, one change of what people say of VEX.
select n.id as "snapshot_id!", s.snapshot_id is not null as "is_there!", s.feed_id as "feed_id?",
       case when s.feed_id is null then 1 else coalesce(s.added + s.changed + s.removed, 0) end as "counted!",
       h.stored as "stored!"
from vuln.latest l
cross join lateral (
    select id from generate_series(1, greatest(l.snapshot_id, (select max(snapshot_id) from vuln.snapshot))) as g(id)
) n
left join vuln.snapshot s on s.snapshot_id = n.id
cross join lateral (
    select case when s.feed_id is not null then
        (select count(*) from vuln.observation o where o.feed_id = s.feed_id and o.refresh = s.refresh)
    else
        (select count(*) from vex.attachment a where a.snapshot_id = n.id)
        + (select count(*) from vex.detachment d where d.snapshot_id = n.id)
        + (select count(*) from vex.issuer_change c where c.snapshot_id = n.id)
    end as stored
) h
where s.snapshot_id is null or n.id > l.snapshot_id
   or h.stored <> case when s.feed_id is null then 1 else s.added + s.changed + s.removed end
order by 1
