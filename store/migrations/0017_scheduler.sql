-- Runs of the scheduler: what changes touch many images, and how far their new evaluation is. A run itself belongs to
-- no tenant; its images do.
create schema scheduler;
grant usage on schema scheduler to starling_tenant, starling_fleet;

-- Up to this snapshot each change of the feeds belongs to a run. Moved in the transaction that makes the run.
create table scheduler.cursor (
    id          boolean not null primary key default true check (id),
    snapshot_id bigint  not null default 0,
    taken_at    timestamptz
);
insert into scheduler.cursor default values;
grant select, update on scheduler.cursor to starling_fleet;

create table scheduler.schedule (
    schedule_id text not null primary key check (schedule_id ~ '^[a-z0-9][a-z0-9.-]{0,63}$'),
    cron        text not null check (length(cron) <= 200), -- five fields, in UTC
    selector    jsonb not null,
    rate_per_s  real check (rate_per_s > 0),
    enabled     boolean not null default true,
    next_at     timestamptz,
    last_at     timestamptz,
    last_run    uuid,
    created_at  timestamptz not null default clock_timestamp(),
    check (not enabled or next_at is not null)
);
grant select, insert, update, delete on scheduler.schedule to starling_fleet;

create table scheduler.run (
    run_id           uuid not null primary key, -- UUIDv7: its order is the order of arrival
    request_key      text unique check (length(request_key) <= 400), -- the same request makes one run
    kind             text not null check (kind in ('delta', 'packages', 'sweep')),
    cause            text not null check (length(cause) <= 512),
    state            text not null default 'planned'
                     check (state in ('planned', 'held', 'running', 'completed', 'failed', 'cancelled')),
    after_snapshot   bigint,            -- of a delta: the changes after this snapshot …
    until_snapshot   bigint,            -- … up to and with this one
    selector         jsonb not null default '{}',
    schedule_id      text,
    rate_per_s       real check (rate_per_s > 0),
    cancel_asked     boolean not null default false,
    released_at      timestamptz,       -- a person's word for a run that is or would be held
    reason           text,              -- why it is held, or how it ended
    delta_records    bigint not null default 0,
    withdrawn        bigint not null default 0, -- of these, taken back or no longer listed
    package_versions bigint not null default 0, -- that the changes touch
    images_known     bigint not null default 0, -- that could have been chosen
    images           bigint not null default 0,
    losing           bigint not null default 0, -- of these, touched by what was taken back
    dispatched       bigint not null default 0,
    evaluated        bigint not null default 0,
    changed          bigint not null default 0, -- of these, with a new verdict
    failed           bigint not null default 0,
    published_at     timestamptz,       -- the newest change as its source dates it
    observed_at      timestamptz,       -- when the newest change was read here
    created_at       timestamptz not null default clock_timestamp(),
    planned_at       timestamptz,       -- when its images were chosen
    dispatched_at    timestamptz,       -- the first page
    ended_at         timestamptz,
    check ((ended_at is not null) = (state in ('completed', 'failed', 'cancelled'))),
    check ((kind = 'delta') = (after_snapshot is not null and until_snapshot is not null))
) with (fillfactor = 70);
create index run_open on scheduler.run (run_id) where ended_at is null;
create index run_ended on scheduler.run (ended_at) where ended_at is not null;
grant select, insert, update on scheduler.run to starling_fleet;

create table scheduler.run_image (
    tenant_id      uuid not null,
    run_id         uuid not null,
    image_digest   text not null,
    state          text not null default 'selected'
                   check (state in ('selected', 'dispatched', 'current', 'unchanged', 'changed', 'failed')),
    losing         boolean not null default false,
    must_reach     bigint,              -- the revision it was raised to
    verdict_before int,
    reason         text,
    dispatched_at  timestamptz,
    ended_at       timestamptz,
    primary key (tenant_id, run_id, image_digest)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index run_image_by_state on scheduler.run_image (run_id, state, tenant_id, image_digest);
select authority.wall_in('scheduler.run_image');
select authority.admit_fleet('scheduler.run_image');
grant select, insert, update, delete on scheduler.run_image to starling_fleet;
-- An image's entity says of its own tenant's image that it cannot be evaluated.
grant select, update (state, reason, ended_at) on scheduler.run_image to starling_tenant;

-- What a run asks of images: that they are evaluated again.
grant update (revision, changed_at) on scanner.image to starling_fleet;
-- Sweeps choose images by name.
select authority.admit_fleet('scanner.image_name');
grant select on scanner.image_name to starling_fleet;
