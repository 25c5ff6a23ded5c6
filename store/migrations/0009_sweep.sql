-- The sweep looks at admitted jobs alone: those that wait for admission are their tenant's to find, so that one
-- tenant's backlog does not hide another's standing job.
drop index orchestrator.job_open_since;
create index job_standing on orchestrator.job (stage_since) where ended_at is null and admitted_at is not null;
