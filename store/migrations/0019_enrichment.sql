-- What is known of vulnerabilities beside advisories: whether they are exploited, and how likely that is. It changes from
-- day to day and is part of no verdict, so only what holds now is kept, and rows change in place. A feed of this kind
-- makes no snapshots.
alter table vuln.feed
    drop constraint feed_kind_check,
    add constraint feed_kind_check check (kind in ('advisories', 'vex', 'enrichment'));

create table vuln.enrichment (
    name        text    collate "C" not null check (length(name) <= 64), -- the CVE
    feed_id     text    not null references vuln.feed,
    exploited   boolean not null,
    probability int     check (probability between 0 and 1000000000), -- in billionths
    percentile  int     check (percentile between 0 and 1000000000),
    primary key (name, feed_id),
    check ((probability is null) = (percentile is null)),
    check (exploited or probability is not null)
) with (fillfactor = 90); -- a score changes in place, beside itself
grant select on vuln.enrichment to starling_tenant;
grant select, insert, update, delete on vuln.enrichment to starling_fleet;
