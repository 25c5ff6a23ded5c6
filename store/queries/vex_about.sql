-- The documents of VEX that count as of snapshot $3 for the tenant $1 and speak of one of the vulnerabilities $2 or are
-- attached to the image $4; and those that share a document's id with one of them: what came later may take back what
-- it does not repeat. A list of several documents has several ids.
with
-- Of a record its latest revision counts, if that still speaks of it.
named_records as (
    select distinct feed_id, advisory_id from vex.mention where name = any ($2) and what = 'vulnerability'
),
records as (
    select n.feed_id, n.advisory_id, l.revision
    from named_records n cross join lateral vex.listed_at(n.feed_id, n.advisory_id, $3) l
    where l.digest <> ''
      and exists (select from vex.mention m
                  where m.feed_id = n.feed_id and m.advisory_id = n.advisory_id and m.revision = l.revision
                    and m.what = 'vulnerability' and m.name = any ($2))
),
counting as not materialized (
    select a.tenant_id, a.attachment_id, a.digest, a.images from vex.attachment a
    where a.tenant_id in ($1, '00000000-0000-0000-0000-000000000000') and a.snapshot_id <= $3
      and not exists (select from vex.detachment d
                      where d.tenant_id = a.tenant_id and d.attachment_id = a.attachment_id and d.snapshot_id <= $3)
),
attachments as (
    select a.tenant_id, a.attachment_id, a.digest
    from vex.content_name n join counting a on a.tenant_id = n.tenant_id and a.digest = n.digest
    where n.tenant_id in ($1, '00000000-0000-0000-0000-000000000000')
      and n.name = any ($2) and n.what = 'vulnerability'
    union
    select a.tenant_id, a.attachment_id, a.digest from counting a where $4::text = any (a.images)
),
ids as (
    select m.name from records r
    join vex.mention m on m.feed_id = r.feed_id and m.advisory_id = r.advisory_id and m.revision = r.revision
                      and m.what = 'document'
    union
    select n.name from attachments a
    join vex.content_name n on n.tenant_id = a.tenant_id and n.digest = a.digest and n.what = 'document'
),
records_of_ids as (
    select distinct m.feed_id, m.advisory_id from ids i join vex.mention m on m.name = i.name and m.what = 'document'
),
all_records as (
    select feed_id, advisory_id, revision from records
    union
    select n.feed_id, n.advisory_id, l.revision
    from records_of_ids n cross join lateral vex.listed_at(n.feed_id, n.advisory_id, $3) l
    where l.digest <> ''
      and exists (select from vex.mention m join ids i on i.name = m.name
                  where m.feed_id = n.feed_id and m.advisory_id = n.advisory_id and m.revision = l.revision
                    and m.what = 'document')
),
all_attachments as (
    select tenant_id, attachment_id from attachments
    union
    select a.tenant_id, a.attachment_id
    from ids i
    join vex.content_name n on n.name = i.name and n.what = 'document'
                           and n.tenant_id in ($1, '00000000-0000-0000-0000-000000000000')
    join counting a on a.tenant_id = n.tenant_id and a.digest = n.digest
)
select r.feed_id as "feed_id?", r.advisory_id as "advisory_id?", r.revision as "revision?",
       null::uuid as "tenant_id?", null::uuid as "attachment_id?", o.digest as "digest!", null::bytea as "signature?",
       '{}'::text[] as "images!", o.observed_at as "taken_in!"
from all_records r
join vuln.observation o on o.feed_id = r.feed_id and o.advisory_id = r.advisory_id and o.revision = r.revision
union all
select null, null, null, a.tenant_id, a.attachment_id, a.digest, a.signature, a.images, a.at
from all_attachments x
join vex.attachment a on a.tenant_id = x.tenant_id and a.attachment_id = x.attachment_id
