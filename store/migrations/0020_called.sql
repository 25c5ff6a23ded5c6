-- What an image was ever called, by repository. A name moves on to the next image, and what a supplier says of a product
-- holds for the images before it too: so what an evaluation reads never goes away, and an image's revision says how much
-- of it there was. Names of before are kept as they were given; who reads them takes the repository.
create table scanner.image_called (
    tenant_id    uuid   not null,
    image_digest text   not null,
    repository   text   not null check (length(repository) <= 600),
    revision     bigint not null, -- from this one of the image on
    primary key (tenant_id, image_digest, repository),
    foreign key (tenant_id, image_digest) references scanner.image
);
select authority.wall_in('scanner.image_called');
grant select, insert on scanner.image_called to starling_tenant;

insert into scanner.image_called (tenant_id, image_digest, repository, revision)
select n.tenant_id, n.image_digest, n.name, 0 from scanner.image_name n;
