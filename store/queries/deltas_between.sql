-- What changed in meaning in a stretch of snapshots, folded to one row for each advisory. VEX is no advisory.
--   $1, $2 after this snapshot, until that one   $3 only this feed, or null
--   $4, $5 after this place   $6 at most so many
with changes as (
    select s.snapshot_id, c.*
    from vuln.snapshot s join vuln.feed w on w.feed_id = s.feed_id and w.kind = 'advisories'
    cross join lateral (
        (select d.feed_id, d.advisory_id, d.revision, d.kind, d.parts
         from vuln.difference d
         where d.feed_id = s.feed_id and d.refresh = s.refresh
           and d.advisory_id > case when s.feed_id = $4 then $5 else '' end
         order by d.advisory_id fetch first $6 rows with ties)
        union all
        (select o.feed_id, o.advisory_id, o.revision, 'added', '{}'
         from vuln.observation o
         where o.feed_id = s.feed_id and o.refresh = s.refresh and o.revision = 1
           and o.advisory_id > case when s.feed_id = $4 then $5 else '' end
         order by o.advisory_id fetch first $6 rows with ties)
    ) c
    where s.snapshot_id > $1 and s.snapshot_id <= $2 and s.feed_id >= $4 and ($3::text is null or s.feed_id = $3)
),
folded as (
    select feed_id, advisory_id, min(revision) as first, max(revision) as last, count(*) as changes,
           max(snapshot_id) as snapshot_id
    from changes group by feed_id, advisory_id order by feed_id, advisory_id limit $6
)
select f.feed_id as "feed_id!", f.advisory_id as "advisory_id!", f.first as "first!", f.last as "last!",
       f.changes as "changes!", f.snapshot_id as "snapshot_id!", l.kind as "kind!", l.parts as "parts!",
       -- Not when it is new, nor when it comes back after it was not listed.
       (b.kind <> 'added' and (b.kind <> 'restored' or b.parts <> '{}')) as "was_listed!"
from folded f
join changes b on b.feed_id = f.feed_id and b.advisory_id = f.advisory_id and b.revision = f.first
join changes l on l.feed_id = f.feed_id and l.advisory_id = f.advisory_id and l.revision = f.last
order by f.feed_id, f.advisory_id
