-- The BOM-index: which images have which package versions, for all tenants, so that a change of the advisories finds
-- its images without looking at each. What a package version is stands once, in a dictionary that says nothing of
-- whose images have it; an image is a list of numbers.

-- What images are kept under. Neither changed nor deleted: numbers stay what they are.
create table scanner.component (
    component_id int   generated always as identity primary key,
    digest       bytea not null unique check (length(digest) = 32), -- of the document
    document     bytea not null
);
grant select on scanner.component to starling_fleet;

-- By what advisories call them: numbers made from names, of which two may be the same.
create table scanner.component_key (
    key          bigint not null,
    component_id int    not null references scanner.component,
    primary key (key, component_id)
);
grant select on scanner.component_key to starling_fleet;

create table scanner.image_component (
    tenant_id    uuid     not null,
    image_digest text     not null,
    -- The place of an image in the order in which the fleet came to know them: pages go by it.
    image_no     int      generated always as identity,
    -- What the list was made by (evaluation::impact::FORM). An older one is made anew.
    form         smallint not null,
    components   int[]    not null, -- sorted
    primary key (tenant_id, image_digest),
    foreign key (tenant_id, image_digest) references scanner.image
);
create index image_component_by_no on scanner.image_component (image_no);
-- What is put in waits in a list of at most 1 MB, so that storing an SBOM does not wait for three hundred places.
create index image_component_has on scanner.image_component using gin (components) with (gin_pending_list_limit = 1024);
select authority.wall_in('scanner.image_component');
select authority.admit_fleet('scanner.image_component');
grant select on scanner.image_component to starling_fleet;
-- For the function below, which runs with the owner's rights: it too reaches one tenant's rows only.
create policy named_tenant on scanner.image_component
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid))
    with check (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

-- Keeps what an image has, in the transaction that stores its SBOM. SECURITY DEFINER because a tenant may neither read
-- the dictionary nor learn a number from it: an old number would tell that somebody has the package already.
-- p_digests is sorted: whoever adds the same entries waits for the other in one order. p_keys[i] finds the entry at
-- p_places[i].
create function scanner.index_image(
    p_image text, p_form smallint, p_digests bytea[], p_documents bytea[], p_places int[], p_keys bigint[]
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    tenant uuid  := nullif(current_setting('app.tenant', true), '')::uuid;
    ids    int[];
begin
    with added as (
        insert into scanner.component (digest, document)
        select d.digest, d.document from unnest(p_digests, p_documents) with ordinality d (digest, document, place)
        where not exists (select from scanner.component c where c.digest = d.digest)
        order by d.place
        on conflict (digest) do nothing
        returning component_id, digest)
    insert into scanner.component_key (key, component_id)
    select distinct k.key, a.component_id
    from added a join unnest(p_digests) with ordinality d (digest, place) on d.digest = a.digest
    join unnest(p_places, p_keys) k (place, key) on k.place = d.place;
    ids := array(select c.component_id from scanner.component c where c.digest = any (p_digests) order by 1);
    if cardinality(ids) <> cardinality(p_digests) then
        raise exception 'the dictionary misses components of %', p_image;
    end if;
    insert into scanner.image_component as i (tenant_id, image_digest, form, components)
    values (tenant, p_image, p_form, ids)
    on conflict (tenant_id, image_digest) do update set form = p_form, components = ids
    where i.form <> p_form or i.components <> ids;
end $$;
grant execute on function scanner.index_image to starling_tenant;
