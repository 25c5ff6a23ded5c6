-- VEX: what suppliers and a tenant's own people say of vulnerabilities in products, and whom that is believed.
--
-- Documents come by feeds, like advisories, or are attached by people. A tenant's are its own; what the system's tenant
-- attaches or says of issuers counts for all, so every tenant reads the system's rows. Nothing here is ever changed.
create schema vex;
grant usage on schema vex to starling_tenant, starling_fleet;

-- What a feed publishes. It stays what it is: other formats of the same kind may follow.
alter table vuln.feed add column kind text not null default 'advisories' check (kind in ('advisories', 'vex'));

-- A snapshot is made by a feed's refresh, or by one change of the tables below; then it has no feed.
alter table vuln.snapshot
    alter column feed_id drop not null,
    alter column refresh drop not null,
    add constraint snapshot_of_feed check ((feed_id is null) = (refresh is null)),
    add constraint snapshot_counts check (feed_id is not null or added + changed + removed = 0);

-- Lets a tenant read what the system's tenant has.
create function vex.share_systems(walled regclass) returns void language plpgsql as $$
begin
    execute format(
        'create policy systems on %s for select to starling_tenant
            using (tenant_id = ''00000000-0000-0000-0000-000000000000''::uuid)', walled);
end $$;

-- Numbers a change by the next snapshot. Its lock is held until the commit, so numbers appear in order and whoever has
-- one reads all that went before. SECURITY DEFINER because a tenant may not number snapshots by itself, nor make one
-- that says something of a feed.
create function vex.next_snapshot() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    next_ bigint;
begin
    update vuln.latest set snapshot_id = snapshot_id + 1 returning snapshot_id into next_;
    insert into vuln.snapshot (snapshot_id, added, changed, removed) values (next_, 0, 0, 0);
    return next_;
end $$;
grant execute on function vex.next_snapshot to starling_tenant;

-- The only bell of the system's that a tenant may leave: there is a snapshot to plan for.
create policy scheduler_bell on orchestrator.outbox for insert to starling_tenant
    with check (tenant_id = '00000000-0000-0000-0000-000000000000'::uuid and kind = 'system' and key = 'scheduler');

-- A record of a feed of VEX, beside its observation and written with it: what is asked for without reading it.
create table vex.published (
    feed_id     text    not null references vuln.feed,
    advisory_id text    not null,
    revision    int     not null,
    format      text    not null,
    version     text    not null,
    author      text    not null,
    stated_at   timestamptz,
    is_signed   boolean not null,
    statements  int     not null check (statements >= 0),
    primary key (feed_id, advisory_id, revision)
);
grant select on vex.published to starling_tenant;
grant select, insert on vex.published to starling_fleet;
create trigger append_only before update or delete or truncate on vex.published
    for each statement execute function vuln.refuse_change('VEX documents');

-- By which words a record is found. Names are shortened alike when they are kept and when they are asked for.
--   vulnerability   what it speaks of, in upper case
--   document        the ids of its documents: whatever has the same one may take it back
--   author          who made them, by their own word
create table vex.mention (
    name        text not null check (octet_length(name) <= 255),
    what        text not null check (what in ('vulnerability', 'document', 'author')),
    feed_id     text not null references vuln.feed,
    advisory_id text not null,
    revision    int  not null,
    primary key (name, what, feed_id, advisory_id, revision)
);
create index mention_of_record on vex.mention (feed_id, advisory_id, revision, what, name);
grant select on vex.mention to starling_tenant;
grant select, insert on vex.mention to starling_fleet;
create trigger append_only before update or delete or truncate on vex.mention
    for each statement execute function vuln.refuse_change('mentions');

-- A file that was attached, once for each tenant.
create table vex.content (
    tenant_id   uuid  not null references authority.tenant,
    digest      text  not null check (digest ~ '^sha256:[0-9a-f]{64}$'),
    content     bytea not null check (octet_length(content) between 1 and 8388608),
    format      text  not null,
    document_id text  not null,
    version     text  not null,
    author      text  not null,
    stated_at   timestamptz,
    statements  int   not null check (statements >= 0),
    primary key (tenant_id, digest),
    check (digest = 'sha256:' || encode(sha256(content), 'hex'))
);
select authority.wall_in('vex.content');
select authority.admit_fleet('vex.content');
select vex.share_systems('vex.content');
grant select, insert on vex.content to starling_tenant;
grant select on vex.content to starling_fleet;
create trigger append_only before update or delete or truncate on vex.content
    for each statement execute function vuln.refuse_change('VEX documents');

-- By which words it is found; as `mention`.
create table vex.content_name (
    tenant_id uuid not null,
    name      text not null check (octet_length(name) <= 255),
    what      text not null check (what in ('vulnerability', 'document', 'author')),
    digest    text not null,
    primary key (tenant_id, name, what, digest),
    foreign key (tenant_id, digest) references vex.content
);
create index content_name_of on vex.content_name (tenant_id, digest, what, name);
select authority.wall_in('vex.content_name');
select authority.admit_fleet('vex.content_name');
select vex.share_systems('vex.content_name');
grant select, insert on vex.content_name to starling_tenant;
grant select on vex.content_name to starling_fleet;
create trigger append_only before update or delete or truncate on vex.content_name
    for each statement execute function vuln.refuse_change('mentions');

-- That somebody attached it. It counts from its snapshot until that of its detachment.
create table vex.attachment (
    tenant_id     uuid    not null,
    attachment_id uuid    not null, -- UUIDv7: its order is the order of arrival
    snapshot_id   bigint  not null,
    digest        text    not null,
    signature     bytea   check (octet_length(signature) <= 65536), -- where it lies beside the bytes
    is_signed     boolean not null,
    images        text[]  not null check (cardinality(images) <= 1000), -- sorted; none: whatever its products name
    attached_by   text    not null check (length(attached_by) <= 200),
    reason        text    not null check (length(reason) <= 1000),
    at            timestamptz not null default clock_timestamp(),
    primary key (tenant_id, attachment_id),
    unique (tenant_id, snapshot_id),
    foreign key (tenant_id, digest) references vex.content
);
create index attachment_of_content on vex.attachment (tenant_id, digest);
create index attachment_by_snapshot on vex.attachment (snapshot_id);
select authority.wall_in('vex.attachment');
select authority.admit_fleet('vex.attachment');
select vex.share_systems('vex.attachment');
grant select, insert on vex.attachment to starling_tenant;
grant select on vex.attachment to starling_fleet;
create trigger append_only before update or delete or truncate on vex.attachment
    for each statement execute function vuln.refuse_change('attachments');

create table vex.detachment (
    tenant_id     uuid   not null,
    attachment_id uuid   not null,
    snapshot_id   bigint not null,
    detached_by   text   not null check (length(detached_by) <= 200),
    reason        text   not null check (length(reason) <= 1000),
    at            timestamptz not null default clock_timestamp(),
    primary key (tenant_id, attachment_id),
    unique (tenant_id, snapshot_id),
    foreign key (tenant_id, attachment_id) references vex.attachment
);
create index detachment_by_snapshot on vex.detachment (snapshot_id);
select authority.wall_in('vex.detachment');
select authority.admit_fleet('vex.detachment');
select vex.share_systems('vex.detachment');
grant select, insert on vex.detachment to starling_tenant;
grant select on vex.detachment to starling_fleet;
create trigger append_only before update or delete or truncate on vex.detachment
    for each statement execute function vuln.refuse_change('detachments');

-- Who is known and how far that is trusted, as the changes that made it so: the state is their fold (vex::trust), and
-- they are their own audit.
create table vex.issuer_change (
    tenant_id   uuid   not null references authority.tenant,
    change_no   bigint not null check (change_no > 0), -- without gaps
    snapshot_id bigint not null,
    issuer_id   text   not null check (length(issuer_id) <= 64), -- '' for a policy, which is of no issuer
    kind        text   not null check (kind in
        ('created', 'changed', 'key_added', 'key_revoked', 'trusted', 'retired', 'policy')),
    body        jsonb  not null,
    actor       text   not null check (length(actor) <= 200),
    reason      text   not null check (length(reason) <= 1000),
    at          timestamptz not null default clock_timestamp(),
    primary key (tenant_id, change_no),
    unique (tenant_id, snapshot_id),
    check ((kind = 'policy') = (issuer_id = ''))
);
create index issuer_change_by_snapshot on vex.issuer_change (snapshot_id);
create index issuer_change_of on vex.issuer_change (tenant_id, issuer_id, change_no);
select authority.wall_in('vex.issuer_change');
select authority.admit_fleet('vex.issuer_change');
select vex.share_systems('vex.issuer_change');
grant select, insert on vex.issuer_change to starling_tenant;
grant select on vex.issuer_change to starling_fleet;
create trigger append_only before update or delete or truncate on vex.issuer_change
    for each statement execute function vuln.refuse_change('changes of issuers');

-- The revision of a record that counts as of a snapshot; its digest is '' where the feed did not list it then.
create function vex.listed_at(p_feed text, p_id text, p_at bigint)
returns table (revision int, digest text, observed_at timestamptz) language sql stable as $$
    select o.revision, o.digest, o.observed_at
    from vuln.observation o join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
    where o.feed_id = p_feed and o.advisory_id = p_id and s.snapshot_id <= p_at
    order by o.revision desc limit 1
$$;
grant execute on function vex.listed_at to starling_tenant, starling_fleet;

-- Whether a finding need not be looked at, by what is said of it.
alter table scanner.fact add column suppressed boolean not null default false;

alter table scanner.verdict
    add column suppressed int not null default 0 check (suppressed >= 0), -- findings that `counts` leaves out
    -- What of its coverage only the evaluation knew. Null where it was not kept.
    add column gaps jsonb;

-- As before (0013); and a verdict whose gaps are others is another, where both were kept.
create or replace function orchestrator.save_evaluation(
    p_tenant uuid, p_partition int, p_epoch bigint, p_image text, p_jobs uuid[], p_body jsonb,
    out code text, out moved int, out version int, out changed boolean
) language plpgsql as $$
declare
    snapshot bigint := (p_body ->> 'snapshot')::bigint;
    gaps_    jsonb  := nullif(p_body -> 'gaps', 'null');
    image    record;
    last     record;
    facts_   bigint[];
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    select i.revision, i.sbom_digest, i.last_verdict, i.evaluated_revision, i.evaluated_snapshot into image
    from scanner.image i where i.tenant_id = p_tenant and i.digest = p_image for no key update;
    if not found or image.sbom_digest is null or image.revision <> (p_body ->> 'revision')::bigint
       or snapshot < image.evaluated_snapshot then
        code := 'stale';
        return;
    end if;
    version := image.last_verdict;
    select v.coverage, v.findings_digest, v.facts, v.gaps into last from scanner.verdict v
    where v.tenant_id = p_tenant and v.image_digest = p_image and v.version = image.last_verdict;
    changed := not found or last.coverage <> p_body ->> 'coverage'
               or last.findings_digest <> p_body ->> 'findings_digest' or last.facts is null
               or coalesce(last.gaps <> gaps_, gaps_ <> '[]', false);
    if changed then
        if image.last_verdict <> (p_body ->> 'before')::int then
            code := 'stale';
            return;
        end if;
        version := version + 1;
        facts_ := case when last.findings_digest = p_body ->> 'findings_digest' then last.facts end;
        if facts_ is null then
            facts_ := scanner.keep_facts(p_tenant, last.facts, p_body -> 'facts');
        end if;
        insert into scanner.verdict
            (tenant_id, image_digest, version, revision, snapshot_id, coverage, findings_digest, sbom_digest, counts,
             suppressed, gaps, facts, cause, changes)
        values (p_tenant, p_image, save_evaluation.version, image.revision, snapshot,
                p_body ->> 'coverage', p_body ->> 'findings_digest', image.sbom_digest,
                array(select jsonb_array_elements_text(p_body -> 'counts')::int),
                coalesce((p_body ->> 'suppressed')::int, 0), gaps_, facts_, p_body -> 'cause',
                (select coalesce(jsonb_agg(jsonb_build_array(
                            c.change ->> 0, last.facts[(c.change ->> 1)::int + 1], facts_[(c.change ->> 2)::int + 1])
                        order by c.place), '[]')
                 from jsonb_array_elements(p_body -> 'changes') with ordinality c(change, place)));
    end if;
    if changed or image.evaluated_revision <> image.revision
       or image.evaluated_snapshot is distinct from snapshot then
        update scanner.image i set
            evaluated_revision = i.revision, evaluated_snapshot = snapshot,
            evaluated_at = clock_timestamp(), last_verdict = save_evaluation.version
        where i.tenant_id = p_tenant and i.digest = p_image;
    end if;
    moved := orchestrator.finish(
        p_tenant, array(select job_id from orchestrator.job
                        where tenant_id = p_tenant and job_id = any (p_jobs) and image_digest = p_image),
        array['evaluating'], 'done', null, null, null, version);
    code := 'applied';
end $$;

-- As before (0013), with what is suppressed.
create or replace function scanner.keep_facts(p_tenant uuid, p_before bigint[], p_findings jsonb) returns bigint[]
language plpgsql as $$
begin
    insert into scanner.fact
        (tenant_id, digest, document, vulnerability, aliases, package, severity, fixed, suppressed)
    select p_tenant, sha256(d.document), d.document, f.vulnerability, f.aliases, f.package, f.severity, f.fixed,
           coalesce(f.suppressed, false)
    from jsonb_array_elements(p_findings) e(finding),
         jsonb_to_record(case when jsonb_typeof(e.finding) = 'object' then e.finding end)
             as f(document text, vulnerability text, aliases text[], package text, severity smallint, fixed boolean,
                  suppressed boolean),
         convert_to(f.document, 'UTF8') as d(document)
    where d.document is not null
      and not exists (select from scanner.fact known
                      where known.tenant_id = p_tenant and known.digest = sha256(d.document))
    on conflict (tenant_id, digest) do nothing;
    return array(
        select coalesce(p_before[(case when jsonb_typeof(e.finding) = 'number' then e.finding end)::int + 1], f.fact_id)
        from jsonb_array_elements(p_findings) with ordinality e(finding, place)
        left join scanner.fact f
            on f.tenant_id = p_tenant and f.digest = sha256(convert_to(e.finding ->> 'document', 'UTF8'))
        order by e.place);
end $$;
