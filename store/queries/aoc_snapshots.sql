-- Every number up to the latest, with the snapshot that has it and how many revisions it holds.
select n.id as "snapshot_id!", s.feed_id as "feed_id?",
       coalesce(s.added + s.changed + s.removed, 0) as "counted!",
       (select count(*) from vuln.observation o where o.feed_id = s.feed_id and o.refresh = s.refresh) as "stored!"
from vuln.latest l
cross join lateral (
    select id from generate_series(1, greatest(l.snapshot_id, (select max(snapshot_id) from vuln.snapshot))) as g(id)
) n
left join vuln.snapshot s on s.snapshot_id = n.id
where s.feed_id is null or n.id > l.snapshot_id
   or s.added + s.changed + s.removed
      <> (select count(*) from vuln.observation o where o.feed_id = s.feed_id and o.refresh = s.refresh)
order by 1
