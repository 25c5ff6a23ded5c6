-- Steering of feeds: people pause, pin, roll back, import and unregister them. What takes long is an order that the
-- feed's own entity carries out; every steer leaves a row, so this is also who did what.

alter table vuln.feed
    add column steering     bigint not null default 0,  -- raised by what a refresh under way must heed
    add column paused_at    timestamptz,
    add column pause_reason text,
    add column pinned_at    timestamptz,
    add column pin_reason   text,
    add column pinned       bigint,                     -- the snapshot that it keeps
    -- What the last failure was, and since when it fails; last_error has the words.
    add column fault        text check (fault in ('failed', 'unsupported', 'blocked')),
    add column fault_at     timestamptz,
    add column fresh_since  timestamptz,                -- since when it keeps its promise
    add column whole_at     timestamptz;                -- when its source was last read whole

update vuln.feed set fault = 'failed', fault_at = coalesce(attempted_at, created_at) where last_error is not null;
update vuln.feed set fresh_since = succeeded_at, whole_at = succeeded_at;

create index snapshot_by_feed on vuln.snapshot (feed_id, snapshot_id);

create table vuln.feed_order (
    feed_id     text   not null references vuln.feed,
    order_id    uuid   not null,
    kind        text   not null check (kind in
        ('register', 'refresh', 'pause', 'resume', 'pin', 'unpin', 'roll_back', 'import', 'unregister')),
    snapshot_id bigint check ((kind in ('pin', 'roll_back')) = (snapshot_id is not null)),
    -- The bundle to import: a blob of the system's tenant.
    bundle      text   check ((kind = 'import') = (bundle is not null)),
    name        text,
    bytes       bigint,
    whole       boolean not null default true,          -- whether the bundle lists all of the feed
    reason      text   not null default '' check (length(reason) <= 1000),
    asked_by    text   not null,
    asked_at    timestamptz not null default clock_timestamp(),
    ended_at    timestamptz,
    failure     text,                                   -- why it was not carried out
    made        bigint,                                 -- the snapshot it made, when anything changed
    primary key (feed_id, order_id)
);
create index feed_order_open on vuln.feed_order (feed_id, asked_at) where ended_at is null;
grant select, insert, update (ended_at, failure, made) on vuln.feed_order to starling_fleet;

-- Feeds as they are now: whether something is to be done, and the one word for how they are.
create view vuln.feed_now as
select f.*, n.late, o.open as ordered, s.snapshot_id,
       f.enabled and f.paused_at is null
           and (coalesce(o.ready, false)
                or f.pinned_at is null and f.source <> 'bundle:'
                   and (f.due_at <= n.at or f.revision > f.done_revision and f.failures = 0)) as due,
       case when not f.enabled then 'unregistered'
            when f.paused_at is not null then 'paused'
            when f.pinned_at is not null then 'pinned'
            when f.fault is not null then f.fault
            when n.late then 'late'
            else 'fresh' end as state,
       case when not f.enabled then coalesce(f.attempted_at, f.created_at)
            when f.paused_at is not null then f.paused_at
            when f.pinned_at is not null then f.pinned_at
            when f.fault is not null then coalesce(f.fault_at, f.created_at)
            when n.late then coalesce(f.succeeded_at + f.promise_s * interval '1 s', f.created_at)
            else coalesce(f.fresh_since, f.created_at) end as since,
       extract(epoch from n.at - f.whole_at)::float8 as whole_age_s
from vuln.feed f
cross join lateral (select clock_timestamp() as at) t
cross join lateral (
    select t.at, coalesce(f.succeeded_at < t.at - f.promise_s * interval '1 s', true) as late) n
left join lateral (
    select true as open, bool_or(p.kind in ('roll_back', 'unregister') or f.pinned_at is null) as ready
    from vuln.feed_order p where p.feed_id = f.feed_id and p.ended_at is null having count(*) > 0) o on true
left join lateral (select max(snapshot_id) as snapshot_id from vuln.snapshot where feed_id = f.feed_id) s on true;
grant select on vuln.feed_now to starling_fleet;
