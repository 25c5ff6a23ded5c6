-- Images, what is in them, and what was found. Every key starts with the tenant, and no digest is unique beyond it:
-- a duplicate key would tell one tenant what another has.

create table scanner.blob (
    tenant_id  uuid   not null references authority.tenant,
    digest     text   not null check (digest ~ '^sha256:[0-9a-f]{64}$'),
    size       bigint not null check (size >= 0),
    media_type text   not null check (length(media_type) <= 255),
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, digest)
);
select authority.wall_in('scanner.blob');
grant select, insert on scanner.blob to starling_tenant;

create table scanner.sbom (
    tenant_id  uuid  not null references authority.tenant,
    digest     text  not null check (digest ~ '^sha256:[0-9a-f]{64}$'),
    document   bytea not null,
    components int   not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, digest)
);
select authority.wall_in('scanner.sbom');
grant select, insert on scanner.sbom to starling_tenant;

create table scanner.image (
    tenant_id          uuid   not null references authority.tenant,
    digest             text   not null check (digest ~ '^sha256:[0-9a-f]{64}$'),
    media_type         text   not null check (length(media_type) <= 255),
    manifest           bytea  not null,
    config_digest      text   not null,
    size               bigint not null,
    -- Raised by whatever changes what an evaluation reads; the image is behind while evaluated_revision is less.
    revision           bigint not null default 0,
    evaluated_revision bigint not null default 0,
    evaluated_snapshot bigint,
    evaluated_at       timestamptz,
    sbom_digest        text,
    extractor          text,
    last_verdict       int    not null default 0,
    created_at         timestamptz not null default clock_timestamp(),
    changed_at         timestamptz not null default clock_timestamp(),
    primary key (tenant_id, digest),
    foreign key (tenant_id, config_digest) references scanner.blob,
    foreign key (tenant_id, sbom_digest) references scanner.sbom
) with (fillfactor = 80);
create index image_behind on scanner.image (changed_at) where revision > evaluated_revision;
create index image_by_age on scanner.image (tenant_id, created_at, digest);
select authority.wall_in('scanner.image');
select authority.admit_fleet('scanner.image');
grant select, insert, update on scanner.image to starling_tenant;
grant select on scanner.image to starling_fleet;

create table scanner.layer (
    tenant_id    uuid   not null,
    image_digest text   not null,
    position     int    not null check (position >= 0), -- 0 is the lowest
    digest       text   not null,
    size         bigint not null,
    media_type   text   not null check (length(media_type) <= 255),
    diff_id      text   not null check (diff_id ~ '^sha256:[0-9a-f]{64}$'),
    primary key (tenant_id, image_digest, position),
    foreign key (tenant_id, image_digest) references scanner.image,
    foreign key (tenant_id, digest) references scanner.blob
);
select authority.wall_in('scanner.layer');
grant select, insert on scanner.layer to starling_tenant;

create table scanner.image_name (
    tenant_id    uuid not null,
    name         text not null check (length(name) between 1 and 512),
    image_digest text not null,
    changed_at   timestamptz not null default clock_timestamp(),
    primary key (tenant_id, name),
    foreign key (tenant_id, image_digest) references scanner.image
);
create index image_name_of on scanner.image_name (tenant_id, image_digest);
select authority.wall_in('scanner.image_name');
grant select, insert, update on scanner.image_name to starling_tenant;

-- Append-only: no right to change a row, for anybody but the owner.
create table scanner.verdict (
    tenant_id       uuid   not null,
    image_digest    text   not null,
    version         int    not null check (version > 0),
    revision        bigint not null,
    snapshot_id     bigint not null,
    coverage        text   not null check (coverage in ('complete', 'partial', 'provisional')),
    findings_digest text   not null check (findings_digest ~ '^sha256:[0-9a-f]{64}$'),
    sbom_digest     text   not null,
    -- How many findings of each severity, unknown first, critical last.
    counts          int[]  not null check (array_length(counts, 1) = 6),
    at              timestamptz not null default clock_timestamp(),
    primary key (tenant_id, image_digest, version),
    foreign key (tenant_id, image_digest) references scanner.image,
    foreign key (tenant_id, sbom_digest) references scanner.sbom
);
select authority.wall_in('scanner.verdict');
grant select, insert on scanner.verdict to starling_tenant;

-- The findings of the last verdict. Keyed by their place in its order: purls may be longer than a key may be.
create table scanner.finding (
    tenant_id      uuid     not null,
    image_digest   text     not null,
    ordinal        int      not null,
    vulnerability  text     not null,
    aliases        text[]   not null,
    purl           text     not null,
    package        text     not null,
    version        text     not null,
    severity       smallint not null check (severity between 0 and 5),
    fixed_versions text[]   not null, -- empty: not fixed
    advisories     jsonb    not null,
    primary key (tenant_id, image_digest, ordinal),
    foreign key (tenant_id, image_digest) references scanner.image
);
create index finding_by_severity on scanner.finding (tenant_id, image_digest, severity desc, ordinal);
select authority.wall_in('scanner.finding');
grant select, insert, delete on scanner.finding to starling_tenant;
