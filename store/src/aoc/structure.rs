//! What holds the documents in place: numbers, triggers, grants, keys.

use super::{Rule, Violation};
use crate::{Error, Store};

/// Tables that only ever grow.
const APPEND_ONLY: [&str; 12] = [
    "vuln.observation",
    "vuln.snapshot",
    "vuln.origin",
    "vuln.difference",
    "vuln.alias",
    "vex.published",
    "vex.mention",
    "vex.content",
    "vex.content_name",
    "vex.attachment",
    "vex.detachment",
    "vex.issuer_change",
];

/// Checks everything but the documents themselves.
pub async fn structure(store: &Store) -> Result<Vec<Violation>, Error> {
    let mut found = snapshots(store).await?;
    found.extend(changes(store).await?);
    found.extend(triggers(store).await?);
    found.extend(grants(store).await?);
    found.extend(keys(store).await?);
    Ok(found)
}

async fn snapshots(store: &Store) -> Result<Vec<Violation>, Error> {
    let mut tx = store.fleet().await?;
    let rows = sqlx::query_file!("queries/aoc_snapshots.sql").fetch_all(tx.conn()).await?;
    tx.commit().await?;
    let violation = |id: i64, what: String| Violation::new(Rule::Snapshots, format!("snapshot {id}"), what);
    let mut found = Vec::new();
    for row in rows {
        let what = match (row.feed_id, row.counted, row.stored) {
            _ if !row.is_there => "it is not there".to_owned(),
            (_, counted, stored) if counted == stored => continue,
            (Some(feed), counted, stored) => {
                format!("{counted} revisions of {feed} were counted, {stored} are there")
            }
            (None, _, stored) => format!("no feed made it, and {stored} changes are there instead of one"),
        };
        found.push(violation(row.snapshot_id, what));
    }
    Ok(found)
}

/// What people changed of VEX: issuers' changes are numbered without a gap, and each change has a snapshot that no feed
/// made.
async fn changes(store: &Store) -> Result<Vec<Violation>, Error> {
    let mut tx = store.fleet().await?;
    let gaps = sqlx::query!(
        r#"select tenant_id as "tenant!", max(change_no) as "last!", count(*) as "there!"
           from vex.issuer_change group by tenant_id having max(change_no) <> count(*) order by 1"#,
    )
    .fetch_all(tx.conn())
    .await?;
    let strays = sqlx::query!(
        r#"select c.place as "place!", c.snapshot_id as "snapshot!" from (
               select 'detached ' || attachment_id as place, snapshot_id from vex.detachment
               union all
               select 'issuer change ' || change_no || ' of ' || tenant_id, snapshot_id from vex.issuer_change) c
           where not exists (select from vuln.snapshot s
                             where s.snapshot_id = c.snapshot_id and s.feed_id is null) order by 1"#,
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    let gaps = gaps.into_iter().map(|row| {
        let what = format!("the last change is {}, and {} are there", row.last, row.there);
        Violation::new(Rule::Supersession, format!("issuer changes of {}", row.tenant), what)
    });
    let strays = strays.into_iter().map(|row| {
        let what = format!("its snapshot {} is not there, or a feed's", row.snapshot);
        Violation::new(Rule::Snapshots, row.place, what)
    });
    Ok(gaps.chain(strays).collect())
}

async fn triggers(store: &Store) -> Result<Vec<Violation>, Error> {
    let mut tx = store.fleet().await?;
    // In `tgtype` 1 is "for each row", 2 "before"; 8, 16 and 32 are delete, update and truncate.
    let guarded = sqlx::query_scalar!(
        r#"select w.name as "name!" from unnest($1::text[]) as w(name)
           where exists (
               select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
               where t.tgrelid = to_regclass(w.name) and t.tgname = 'append_only' and t.tgenabled in ('O', 'A')
                 and t.tgtype & 59 = 58 and t.tgqual is null
                 and p.oid = to_regproc('vuln.refuse_change') and p.prosrc like '%raise exception%')"#,
        &APPEND_ONLY.map(str::to_owned),
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    let bare = APPEND_ONLY.iter().filter(|table| !guarded.iter().any(|name| name == *table));
    let what = "no trigger refuses update, delete and truncate";
    Ok(bare.map(|table| Violation::new(Rule::Triggers, *table, what)).collect())
}

/// Whoever owns a table may do everything with it, and the triggers stand against that; nobody who serves may be its owner.
async fn grants(store: &Store) -> Result<Vec<Violation>, Error> {
    let mut tx = store.fleet().await?;
    let rows = sqlx::query!(
        r#"select w.name as "name!", r.rolname::text as "role!", p.privilege as "privilege!"
           from unnest($1::text[]) as w(name)
           join pg_class c on c.oid = to_regclass(w.name)
           cross join pg_roles r
           cross join unnest(array['update', 'delete', 'truncate']) as p(privilege)
           where r.rolname like 'starling\_%'
             and (r.oid <> c.relowner or pg_has_role(session_user, c.relowner, 'member'))
             and (has_table_privilege(r.oid, to_regclass(w.name), p.privilege)
                  or p.privilege = 'update' and has_any_column_privilege(r.oid, to_regclass(w.name), 'update'))
           order by 1, 2, 3"#,
        &APPEND_ONLY.map(str::to_owned),
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    let violations = rows
        .into_iter()
        .map(|row| Violation::new(Rule::Grants, row.name, format!("{} may {} it", row.role, row.privilege)));
    Ok(violations.collect())
}

async fn keys(store: &Store) -> Result<Vec<Violation>, Error> {
    const WANTED: [&str; 8] = [
        "observation_pkey",
        "observation_supersedes",
        "observation_origin",
        "snapshot_feed_id_refresh_key",
        "content_name_tenant_id_digest_fkey",
        "attachment_tenant_id_digest_fkey",
        "detachment_tenant_id_attachment_id_fkey",
        "issuer_change_pkey",
    ];
    let mut tx = store.fleet().await?;
    let valid = sqlx::query_scalar!(
        r#"select c.conname::text as "name!" from pg_constraint c join pg_namespace n on n.oid = c.connamespace
           where n.nspname in ('vuln', 'vex') and c.conname::text = any ($1) and c.convalidated"#,
        &WANTED.map(str::to_owned),
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    let missing = WANTED.iter().filter(|key| !valid.iter().any(|name| name == *key));
    Ok(missing.map(|key| Violation::new(Rule::Keys, *key, "it is not there, or not valid")).collect())
}
