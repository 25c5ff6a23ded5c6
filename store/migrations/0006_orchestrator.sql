-- Jobs, the work they need, and the bells that wake whoever goes on.

-- Counters of each tenant, kept in the transactions that change them. Whoever changes them locks this row before any
-- job's, so that no two transactions wait for each other: fence, load, work, image, job.
create table orchestrator.tenant_load (
    tenant_id   uuid   not null primary key references authority.tenant,
    open_jobs   int    not null default 0 check (open_jobs >= 0), -- accepted and not ended
    inflight    int    not null default 0 check (inflight >= 0),  -- of these, admitted
    tokens      double precision not null default 0,              -- of the rate limit's bucket
    refilled_at timestamptz not null default '-infinity'
) with (fillfactor = 50);
select authority.wall_in('orchestrator.tenant_load');
select authority.admit_fleet('orchestrator.tenant_load');
grant select, update on orchestrator.tenant_load to starling_tenant;
grant select, insert on orchestrator.tenant_load to starling_fleet;
insert into orchestrator.tenant_load (tenant_id) values ('00000000-0000-0000-0000-000000000000');

create table orchestrator.job (
    tenant_id    uuid     not null references authority.tenant,
    job_id       uuid     not null, -- UUIDv7: its order is the order of arrival
    request_id   uuid     not null,
    request_hash bytea    not null,
    kind         text     not null check (kind in ('scan', 'reevaluate')),
    lane         smallint not null check (lane between 0 and 2),
    image_digest text     not null,
    state        text     not null default 'accepted'
                 check (state in ('accepted', 'extracting', 'evaluating', 'done', 'failed', 'cancelled')),
    -- The stretch it is in, and since when; the events tell of those that have ended.
    stage        text     not null default 'queued' check (stage in ('queued', 'dispatched', 'extracting', 'evaluating')),
    stage_since  timestamptz not null default clock_timestamp(),
    attempt      int      not null default 0,
    events       int      not null default 0, -- the last event's seq
    verdict      int,                         -- the verdict's version it ended with
    reason       text,
    accepted_at  timestamptz not null default clock_timestamp(),
    admitted_at  timestamptz,
    deadline_at  timestamptz,
    ended_at     timestamptz,
    primary key (tenant_id, job_id),
    unique (tenant_id, request_id),
    foreign key (tenant_id, image_digest) references scanner.image,
    check ((ended_at is not null) = (state in ('done', 'failed', 'cancelled'))),
    check (state <> 'done' or verdict is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
create index job_waiting on orchestrator.job (tenant_id, lane, job_id) where ended_at is null and admitted_at is null;
create index job_inflight on orchestrator.job (tenant_id, image_digest)
    where ended_at is null and admitted_at is not null;
create index job_open_since on orchestrator.job (stage_since) where ended_at is null;
create index job_deadline on orchestrator.job (deadline_at) where ended_at is null and deadline_at is not null;
create index job_of_image on orchestrator.job (tenant_id, image_digest, job_id);
select authority.wall_in('orchestrator.job');
select authority.admit_fleet('orchestrator.job');
grant select, insert, update on orchestrator.job to starling_tenant;
grant select on orchestrator.job to starling_fleet;

-- One row for each stretch of a job's life that has ended, and the state the job then had. Append-only.
create table orchestrator.job_event (
    tenant_id  uuid not null,
    job_id     uuid not null,
    seq        int  not null,
    stage      text not null,
    state      text not null,
    node       text,
    attempt    int  not null,
    started_at timestamptz not null,
    ended_at   timestamptz not null,
    reason     text,
    -- Who reads on from a mark compares transaction ids with the oldest one still running: a sequence would skip what
    -- commits late.
    xid        xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, job_id, seq),
    foreign key (tenant_id, job_id) references orchestrator.job
);
create index job_event_changes on orchestrator.job_event (tenant_id, xid, job_id, seq);
select authority.wall_in('orchestrator.job_event');
select authority.admit_fleet('orchestrator.job_event');
grant select, insert on orchestrator.job_event to starling_tenant;
grant select on orchestrator.job_event to starling_fleet;

-- Heavy work on an image, done once for all the jobs that wait for it. A row exists while it is unfinished.
create table orchestrator.work (
    tenant_id    uuid     not null references authority.tenant,
    work_id      uuid     not null,
    image_digest text     not null,
    lane         smallint not null check (lane between 0 and 2),
    state        text     not null default 'ready' check (state in ('ready', 'held')),
    attempt      int      not null default 0, -- the fence of the one who holds it
    holder_gen   bigint,
    held_since   timestamptz,
    due_at       timestamptz not null default clock_timestamp(),
    first_reason text,
    last_reason  text,
    created_at   timestamptz not null default clock_timestamp(),
    primary key (tenant_id, work_id),
    unique (tenant_id, image_digest),
    foreign key (tenant_id, image_digest) references scanner.image,
    check ((state = 'held') = (holder_gen is not null and held_since is not null))
) with (fillfactor = 70);
create index work_ready on orchestrator.work (due_at) where state = 'ready';
create index work_held on orchestrator.work (holder_gen) where state = 'held';
select authority.wall_in('orchestrator.work');
select authority.admit_fleet('orchestrator.work');
grant select, insert, update, delete on orchestrator.work to starling_tenant;
grant select on orchestrator.work to starling_fleet;

create table orchestrator.dead_letter (
    tenant_id      uuid     not null references authority.tenant,
    dead_letter_id uuid     not null,
    image_digest   text     not null,
    lane           smallint not null,
    attempts       int      not null,
    first_reason   text     not null,
    last_reason    text     not null,
    job_ids        uuid[]   not null, -- which ended failed by it
    at             timestamptz not null default clock_timestamp(),
    primary key (tenant_id, dead_letter_id),
    foreign key (tenant_id, image_digest) references scanner.image
);
create index dead_letter_at on orchestrator.dead_letter (at);
select authority.wall_in('orchestrator.dead_letter');
select authority.admit_fleet('orchestrator.dead_letter');
grant select, insert, delete on orchestrator.dead_letter to starling_tenant;
grant select on orchestrator.dead_letter to starling_fleet;

-- Bells that are owed. The relay takes rows by deleting them and commits once they are in the stream.
create table orchestrator.outbox (
    tenant_id uuid     not null,
    bell_id   bigint   not null generated always as identity,
    kind      text     not null check (kind in ('tenant', 'image', 'feed', 'system', 'work')),
    key       text     not null,
    lane      smallint not null check (lane between 0 and 2),
    due_at    timestamptz not null default clock_timestamp(),
    primary key (tenant_id, bell_id)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
create index outbox_order on orchestrator.outbox (lane, bell_id);
select authority.wall_in('orchestrator.outbox');
select authority.admit_fleet('orchestrator.outbox');
grant insert on orchestrator.outbox to starling_tenant;
grant select, insert, update, delete on orchestrator.outbox to starling_fleet; -- update: for "for update skip locked"
