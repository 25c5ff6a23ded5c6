-- One job accepted as the gateway does it, without the gateway: pgbench -n -f bench/pgbench/submit.sql -D tenant=… -D image=…
begin;
set local role starling_tenant;
select code from orchestrator.submit(:'tenant'::uuid, gen_random_uuid(), gen_random_uuid(), '\x00'::bytea, 'scan', 1::smallint, :'image', null);
commit;
