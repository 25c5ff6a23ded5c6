//! Tenants are kept apart by PostgreSQL itself, whatever a query says.

use model::TenantId;
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use store::work::{self, Failure};
use store::{dead_letters, outbox, requests, tokens};

use crate::fixture::World;

/// Tables that say nothing of any tenant. A dictionary of packages does not say who has them, nor is it a tenant's. What was kept of layers is found only under the digest of a blob that one has,
/// and not by a tenant's role.
const SHARED: &[&str] = &[
    "authority.contract",
    "cluster.node",
    "cluster.partition",
    "cluster.partition_log",
    "cluster.suspicion",
    "cluster.view",
    "cluster.weight",
    "scanner.component",
    "scanner.component_key",
    "scanner.layer_content",
    "scheduler.cursor",
    "scheduler.run",
    "scheduler.schedule",
    "vex.mention",
    "vex.published",
    "vuln.alias",
    "vuln.difference",
    "vuln.enrichment",
    "vuln.feed",
    "vuln.feed_order",
    "vuln.latest",
    "vuln.observation",
    "vuln.origin",
    "vuln.quarantine",
    "vuln.snapshot",
];

async fn texts(pool: &PgPool, query: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(pool).await.unwrap();
    rows.iter().map(|r| r.get(0)).collect()
}

async fn tenant_tables(owner: &PgPool) -> Vec<String> {
    texts(
        owner,
        "select table_schema || '.' || table_name from information_schema.columns
         where column_name = 'tenant_id' and table_schema in
             ('authority', 'scanner', 'vuln', 'cluster', 'orchestrator', 'scheduler', 'vex') order by 1",
    )
    .await
}

/// A row in every tenant table.
async fn fill(world: &World, tenant: TenantId, generation: i64) {
    let fence = world.claim(generation, 1).await;
    world.scanned(tenant, "scanned", generation, fence).await;
    let image = world.image(tenant, "buried").await;
    let (_, work_id) = world.dispatched(tenant, &image, fence).await;
    for _ in 0..5 {
        world.sql("update orchestrator.work set due_at = '-infinity'").await;
        let claimed = world.claimed(tenant, work_id, generation).await;
        let failure = Failure::Passing { reason: "no".to_owned() };
        work::fail(&world.store, &claimed.hold, &failure).await.unwrap();
    }
    let open = world.image(tenant, "open").await;
    world.dispatched(tenant, &open, fence).await;
    let mut tx = world.store.fleet().await.unwrap();
    tokens::issue(&mut tx, tenant, "ci", &["scan".to_owned()], None).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let request = model::RequestId::from_uuid(uuid::Uuid::now_v7());
    requests::remember(&mut tx, "PutImage", request, b"hash", b"answer").await.unwrap();
    tx.commit().await.unwrap();
    crate::runs::sweep_of(world, fence, tenant).await;
    let attached = crate::vex::attach(world, tenant, &crate::vex::document("d", "1", &["CVE-1"]), &[]).await;
    crate::vex::detach(world, tenant, attached.id).await;
    crate::issuers::create(world, tenant, "us", &["Us"]).await;
}

#[sqlx::test]
async fn no_tenant_reads_or_writes_a_row_of_another_in_any_table(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let generation = world.node("n1").await;
    fill(&world, b, generation).await;
    let app = app_pool(&world).await;

    let tables = tenant_tables(&world.owner).await;
    assert!(tables.len() >= 21, "{tables:?}");
    for table in tables {
        let theirs: serde_json::Value = sqlx::query(AssertSqlSafe(format!(
            "select to_jsonb(t) from {table} t where tenant_id = '{b}' limit 1"
        )))
        .fetch_optional(&world.owner)
        .await
        .unwrap()
        .unwrap_or_else(|| panic!("the fixture leaves no row in {table}"))
        .get(0);

        let outcome = as_tenant(&app, a, &format!("select 1 from {table} where tenant_id = '{b}'")).await;
        assert!(matches!(outcome, Outcome::Rows(0) | Outcome::Refused), "{table} shows rows: {outcome:?}");
        let copy = theirs.to_string().replace('\'', "''");
        let insert = format!(
            "insert into {table} overriding system value
             select * from jsonb_populate_record(null::{table}, '{copy}')"
        );
        assert_eq!(as_tenant(&app, a, &insert).await, Outcome::Refused, "{table} takes a row for another");
        for change in [
            format!("update {table} set tenant_id = tenant_id where tenant_id = '{b}'"),
            format!("delete from {table} where tenant_id = '{b}'"),
        ] {
            let outcome = as_tenant(&app, a, &change).await;
            assert!(matches!(outcome, Outcome::Rows(0) | Outcome::Refused), "{change}: {outcome:?}");
        }
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Rows(u64),
    Refused,
}

/// Runs a statement as a tenant's transaction would, and rolls it back.
async fn as_tenant(app: &PgPool, tenant: TenantId, statement: &str) -> Outcome {
    let opening = format!("begin; set local role starling_tenant; set local app.tenant = '{tenant}'");
    let mut tx = app.begin_with(AssertSqlSafe(opening)).await.unwrap();
    match sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await {
        Ok(done) => Outcome::Rows(done.rows_affected()),
        Err(error) => {
            let code = error.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned());
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
            Outcome::Refused
        }
    }
}

async fn app_pool(world: &World) -> PgPool {
    let options = (*world.owner.connect_options()).clone().username("starling_app");
    PgPool::connect_with(options).await.unwrap()
}

#[sqlx::test]
async fn without_a_tenant_there_are_no_rows_and_without_a_role_no_tables(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    world.image(tenant, "x").await;
    let app = app_pool(&world).await;
    let mut tx = app.begin_with("begin; set local role starling_tenant").await.unwrap();
    let seen: i64 =
        sqlx::query("select count(*) from scanner.image").fetch_one(&mut *tx).await.unwrap().get(0);
    assert_eq!((seen, world.number("select count(*) from scanner.image").await), (0, 1));
    tx.rollback().await.unwrap();
    for table in tenant_tables(&world.owner).await {
        let outcome = sqlx::query(AssertSqlSafe(format!("select 1 from {table}"))).execute(&app).await;
        let error = outcome.expect_err(&table);
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{table}");
    }
}

#[sqlx::test]
async fn every_table_is_walled_in_or_known_to_be_shared(owner: PgPool) {
    let open = texts(
        &owner,
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and n.nspname in ('authority', 'scanner', 'vuln', 'cluster', 'orchestrator', 'scheduler', 'vex')
           and not (c.relrowsecurity and c.relforcerowsecurity
                    and exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'own_tenant'))
         order by 1",
    )
    .await;
    assert_eq!(open, SHARED);
    let keyed_otherwise = texts(
        &owner,
        "select i.relname::text from pg_index x join pg_class i on i.oid = x.indexrelid
         join pg_attribute a on a.attrelid = x.indrelid and a.attname = 'tenant_id'
         where x.indisunique and x.indkey[0] <> a.attnum order by 1",
    )
    .await;
    assert_eq!(
        keyed_otherwise,
        ["tenant_name"],
        "a unique key that does not start with the tenant is an oracle"
    );
    let referring = texts(
        &owner,
        "select c.conname::text from pg_constraint c
         join pg_attribute a on a.attrelid = c.conrelid and a.attname = 'tenant_id'
         where c.contype = 'f' and not a.attnum = any (c.conkey) order by 1",
    )
    .await;
    assert_eq!(referring, Vec::<String>::new(), "a foreign key without the tenant is an oracle");
}

#[sqlx::test]
async fn nothing_runs_with_the_owners_rights_but_what_is_listed(owner: PgPool) {
    let definers = texts(
        &owner,
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('authority', 'scanner', 'vuln', 'cluster', 'orchestrator', 'scheduler', 'vex') and p.prosecdef order by 1",
    )
    .await;
    assert_eq!(
        definers,
        [
            "cluster.cut_off(bigint)",
            "cluster.fence(integer,bigint)",
            "cluster.is_live(bigint)",
            "cluster.node_name(bigint)",
            "scanner.index_image(text,smallint,bytea[],bytea[],integer[],bigint[])",
            "vex.next_snapshot()"
        ]
    );
    let loose = texts(
        &owner,
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('authority', 'scanner', 'vuln', 'cluster', 'orchestrator', 'scheduler', 'vex')
           and (p.prosecdef and p.proconfig is null
                or has_function_privilege('starling_app', p.oid, 'execute'))",
    )
    .await;
    assert_eq!(loose, Vec::<String>::new());
    let roles = texts(
        &owner,
        "select rolname::text from pg_roles where rolname like 'starling\\_%'
           and (rolsuper or rolbypassrls or rolcreaterole or rolinherit or rolcreatedb)",
    )
    .await;
    assert_eq!(roles, Vec::<String>::new());
}

#[sqlx::test]
async fn a_tenants_dead_letters_and_bells_stay_its_own(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let generation = world.node("n1").await;
    fill(&world, b, generation).await;
    let mut tx = world.store.tenant(a).await.unwrap();
    assert_eq!(dead_letters::list(&mut tx, None, 10).await.unwrap(), []);
    tx.commit().await.unwrap();
    let mut tx = world.store.tenant(b).await.unwrap();
    assert_eq!(dead_letters::list(&mut tx, None, 10).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    let mut tx = world.store.fleet().await.unwrap();
    assert!(outbox::backlog(&mut tx).await.unwrap().0 > 0);
}
