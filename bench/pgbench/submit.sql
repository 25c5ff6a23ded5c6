-- One job accepted as the gateway does it, without the gateway: bench/measure-jobs gives tenant and image, quoted.
begin;
set local role starling_tenant;
select code from orchestrator.submit(:tenant::uuid, gen_random_uuid(), gen_random_uuid(), '\x00'::bytea, 'scan', 1::smallint, :image, null);
commit;
