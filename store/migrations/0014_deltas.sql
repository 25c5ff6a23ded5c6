-- Where each observation came from, what changed in meaning, and what else a vulnerability is called.

-- Says whose rows a trigger keeps as they are; see 0004.
create or replace function vuln.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% are append-only', coalesce(tg_argv[0], 'observations') using errcode = 'insufficient_privilege';
end $$;

-- One reading of a source of which something was kept. A reading that changed nothing leaves none.
create table vuln.origin (
    feed_id   text   not null references vuln.feed,
    origin    int    not null,
    refresh   bigint not null,
    source    text   not null,        -- where it was read from
    format    text   not null,        -- how that was written
    mark      text,                   -- the source's own mark of the state that was read: an ETag, a digest
    collector text   not null,        -- what read it
    at        timestamptz not null default clock_timestamp(),
    primary key (feed_id, origin),
    unique nulls not distinct (feed_id, refresh, source, format, mark, collector)
);
grant select on vuln.origin to starling_tenant;
grant select, insert on vuln.origin to starling_fleet;
create trigger append_only before update or delete or truncate on vuln.origin
    for each statement execute function vuln.refuse_change('origins');

-- What was taken in before came from where its feed is read now, as far as is known.
insert into vuln.origin (feed_id, origin, refresh, source, format, collector)
select feed_id, 0, 0, source, format, 'unknown' from vuln.feed;
alter table vuln.observation
    add column origin int not null default 0,
    -- What it takes the place of. There is no revision without the one before.
    add column supersedes int generated always as (nullif(revision - 1, 0)) stored;
alter table vuln.observation alter column origin drop default;
alter table vuln.observation
    drop constraint observation_feed_id_fkey,
    add constraint observation_origin foreign key (feed_id, origin) references vuln.origin,
    add constraint observation_supersedes foreign key (feed_id, advisory_id, supersedes)
        references vuln.observation (feed_id, advisory_id, revision);

-- By refresh in the order of ids, so that what a refresh brought is read page by page.
drop index vuln.observation_of_refresh;
create index observation_of_refresh on vuln.observation (feed_id, refresh, advisory_id, revision);

create trigger append_only before update or delete or truncate on vuln.snapshot
    for each statement execute function vuln.refuse_change('snapshots');

-- A revision that means something else than the one before. Written with it, so it counts from the same snapshot. The
-- first revision of an advisory is none: that it is new is said by itself.
create table vuln.difference (
    feed_id     text   not null references vuln.feed,
    refresh     bigint not null,
    advisory_id text   not null,
    revision    int    not null check (revision > 1),
    kind        text   not null check (kind in ('modified', 'withdrawn', 'removed', 'restored')),
    parts       text[] not null,      -- none where one of the two is no document
    primary key (feed_id, refresh, advisory_id, revision)
);
grant select on vuln.difference to starling_tenant;
grant select, insert on vuln.difference to starling_fleet;
create trigger append_only before update or delete or truncate on vuln.difference
    for each statement execute function vuln.refuse_change('differences');

-- All that changed in meaning, by the snapshot in which it did.
create view vuln.delta with (security_invoker = true) as
select s.snapshot_id, d.feed_id, d.advisory_id,
       case when d.kind <> 'restored' or d.parts <> '{}' then d.revision - 1 end as before_revision,
       case when d.kind <> 'removed' then d.revision end as after_revision,
       d.kind, d.parts
from vuln.difference d join vuln.snapshot s on s.feed_id = d.feed_id and s.refresh = d.refresh
union all
select s.snapshot_id, o.feed_id, o.advisory_id, null, o.revision, 'added', '{}'
from vuln.observation o join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
where o.revision = 1;
grant select on vuln.delta to starling_tenant, starling_fleet;

-- What a revision calls its vulnerability beside its own id.
create table vuln.alias (
    name        text    not null,
    feed_id     text    not null references vuln.feed,
    advisory_id text    not null,
    revision    int     not null,
    upstream    boolean not null,     -- whether it only carries that vulnerability into a distribution
    primary key (name, feed_id, advisory_id, revision)
);
grant select on vuln.alias to starling_tenant;
grant select, insert on vuln.alias to starling_fleet;
create trigger append_only before update or delete or truncate on vuln.alias
    for each statement execute function vuln.refuse_change('aliases');

-- A record that was set aside is settled once a whole reading of its source does not have it any more.
alter table vuln.quarantine add column settled_at timestamptz;
grant update (settled_at) on vuln.quarantine to starling_fleet;
create index quarantine_open on vuln.quarantine (feed_id, entry) where settled_at is null;
