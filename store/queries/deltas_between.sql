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
    select c.feed_id, c.advisory_id, c.revision as last, c.kind, c.parts,
           min(c.revision) over whole as first, count(*) over whole as changes, max(c.snapshot_id) over whole as newest,
           first_value(c.kind) over rising as first_kind, first_value(c.parts) over rising as first_parts,
           row_number() over (partition by c.feed_id, c.advisory_id order by c.revision desc) as from_last
    from changes c
    window whole as (partition by c.feed_id, c.advisory_id),
           rising as (partition by c.feed_id, c.advisory_id order by c.revision)
)
select feed_id as "feed_id!", advisory_id as "advisory_id!", first as "first!", last as "last!", changes as "changes!",
       newest as "snapshot_id!", kind as "kind!", parts as "parts!",
       -- Not when it is new, nor when it comes back after it was not listed.
       (first_kind <> 'added' and (first_kind <> 'restored' or first_parts <> '{}')) as "was_listed!"
from folded
where from_last = 1
order by feed_id, advisory_id
limit $6
