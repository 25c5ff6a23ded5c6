-- Which nodes may still use this schema. A change is made in three releases: expand (what is new is added beside what
-- is old), migrate (nodes use what is new), contract (what is old goes). Nodes of two releases run side by side, so the
-- migration that contracts writes here the number of the migration that a node must know at least: one whose newest is
-- older refuses to start, instead of failing at the first thing that is gone.
create table authority.contract (
    needs bigint not null primary key,
    at    timestamptz not null default clock_timestamp()
);
grant select on authority.contract to starling_fleet;
