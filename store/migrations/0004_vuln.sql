-- Feeds and what they published. None of it belongs to a tenant.

create table vuln.feed (
    feed_id        text not null primary key check (feed_id ~ '^[a-z0-9][a-z0-9.-]{0,63}$'),
    source         text not null,                -- where it is read from: a URL or a path
    format         text not null,
    interval_s     int  not null check (interval_s > 0),
    promise_s      int  not null check (promise_s > 0), -- older than this, a result says so
    enabled        boolean not null default true,
    -- Raised by each request to refresh; the feed is behind while done_revision is less.
    revision       bigint not null default 1,
    done_revision  bigint not null default 0,
    -- The refresh that is being read, or the last one. An interrupted refresh is taken up under the same number,
    -- so that what it has already written becomes part of the snapshot of whoever finishes it.
    refresh        bigint not null default 0,
    refreshing     boolean not null default false,
    cursor         text,                         -- the source's own mark of a state: an ETag, a digest
    attempted_at   timestamptz,
    succeeded_at   timestamptz,
    due_at         timestamptz not null default clock_timestamp(),
    failures       int  not null default 0,
    last_error     text,
    advisories     bigint not null default 0,
    problems       bigint not null default 0,
    created_at     timestamptz not null default clock_timestamp()
);
grant select on vuln.feed to starling_tenant;
grant select, insert, update on vuln.feed to starling_fleet;

-- Numbers snapshots. Its row is locked from taking a number until the commit, so numbers appear in order.
create table vuln.latest (
    id          boolean not null primary key default true check (id),
    snapshot_id bigint  not null default 0
);
insert into vuln.latest default values;
grant select on vuln.latest to starling_tenant;
grant select, update on vuln.latest to starling_fleet;

create table vuln.snapshot (
    snapshot_id bigint not null primary key,
    feed_id     text   not null references vuln.feed,
    refresh     bigint not null,
    added       bigint not null,
    changed     bigint not null,
    removed     bigint not null,
    at          timestamptz not null default clock_timestamp(),
    unique (feed_id, refresh)
);
grant select on vuln.snapshot to starling_tenant;
grant select, insert on vuln.snapshot to starling_fleet;

-- One immutable revision of one advisory, exactly as its feed published it. It counts from the snapshot of its refresh.
create table vuln.observation (
    feed_id     text   not null references vuln.feed,
    advisory_id text   not null check (length(advisory_id) <= 512),
    revision    int    not null check (revision > 0),
    refresh     bigint not null,
    digest      text   not null,          -- '' when the feed no longer lists it
    document    bytea,                    -- null when the feed no longer lists it
    observed_at timestamptz not null default clock_timestamp(),
    primary key (feed_id, advisory_id, revision) include (digest),
    check ((document is null) = (digest = ''))
);
create index observation_of_refresh on vuln.observation (feed_id, refresh);
grant select on vuln.observation to starling_tenant;
grant select, insert on vuln.observation to starling_fleet;

-- Nobody has the right to change an observation; this stands behind that, for the owner too.
create function vuln.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'observations are append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete or truncate on vuln.observation
    for each statement execute function vuln.refuse_change();

-- Records that could not be read, with the reason.
create table vuln.quarantine (
    feed_id    text   not null references vuln.feed,
    entry      text   not null check (length(entry) <= 512),
    digest     text   not null,
    refresh    bigint not null,
    reason     text   not null,
    document   bytea  not null,           -- its beginning
    at         timestamptz not null default clock_timestamp(),
    primary key (feed_id, entry, digest)
);
grant select, insert on vuln.quarantine to starling_fleet;
