//! Lists of numbers under GIN, as `store::impact` asks them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row as _};

use crate::fleet::Fleet;
use crate::{ms, percentile};

/// Images put in one after another for each way to keep the index.
const PUT: u32 = 1_000;

pub(crate) struct Lists(PgConnection);

impl Lists {
    pub(crate) async fn create(mut connection: PgConnection) -> anyhow::Result<Self> {
        let table = "create table image_component (tenant_id uuid not null, image_digest text not null,
                         image_no int not null, form smallint not null, components int[] not null,
                         primary key (tenant_id, image_digest));
                     create index by_no on image_component (image_no)";
        sqlx::raw_sql(table).execute(&mut connection).await?;
        Ok(Self(connection))
    }

    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    pub(crate) async fn load(&mut self, fleet: &mut Fleet) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut copy = self.0.copy_in_raw("copy image_component from stdin").await?;
        let mut lines = String::new();
        for image in 0..fleet.images {
            let (tenant, all) = fleet.counted(image);
            line(&mut lines, tenant, image, &all);
            if lines.len() > 1 << 20 {
                copy.send(std::mem::take(&mut lines).into_bytes()).await?;
            }
        }
        copy.send(lines.into_bytes()).await?;
        copy.finish().await?;
        let took = started.elapsed();
        self.run("vacuum analyze image_component").await?;
        Ok(took)
    }

    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    pub(crate) async fn index(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.run(
            "set maintenance_work_mem = '512MB'; set max_parallel_maintenance_workers = 0;
                  create index has on image_component using gin (components) with (fastupdate = off)",
        )
        .await?;
        Ok(started.elapsed())
    }

    pub(crate) async fn size(&mut self, relation: &str) -> anyhow::Result<u64> {
        let row =
            sqlx::query("select pg_table_size($1::regclass)").bind(relation).fetch_one(&mut self.0).await?;
        Ok(row.get::<i64, _>(0).cast_unsigned())
    }

    /// How many images have one of these, fetched.
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    pub(crate) async fn with(&mut self, ids: &[i32]) -> anyhow::Result<(Duration, usize)> {
        let started = Instant::now();
        let rows = sqlx::query(
            "with found as materialized (
                 select image_no, tenant_id, image_digest from image_component
                 where components && $1 and image_no > $3)
             select image_no, tenant_id, image_digest from found
             where $2::uuid is null or tenant_id = $2 order by image_no limit $4",
        )
        .bind(ids)
        .bind(None::<sqlx::types::Uuid>)
        .bind(-1)
        .bind(1_000_000_i64)
        .fetch_all(&mut self.0)
        .await?;
        Ok((started.elapsed(), rows.len()))
    }

    /// How many of these images there are, fetched: what bitmaps do not say of them.
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    pub(crate) async fn rows(&mut self, numbers: &[i32]) -> anyhow::Result<(Duration, usize)> {
        let started = Instant::now();
        let query = "select image_no, tenant_id, image_digest from image_component where image_no = any ($1)";
        let rows = sqlx::query(query).bind(numbers).fetch_all(&mut self.0).await?;
        Ok((started.elapsed(), rows.len()))
    }

    /// What putting in an image costs, by how the index takes it.
    pub(crate) async fn inserts(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        println!(
            "\n| index | put in, ms: p50 | p99 | longest | KB of WAL an image | then 100 images, ms: p50 | p99 |"
        );
        println!("|---|---|---|---|---|---|---|");
        let mut next = fleet.images;
        for (what, change) in [
            ("GIN at once", ""),
            ("GIN, 256 KB pending", "alter index has set (fastupdate = on, gin_pending_list_limit = 256)"),
            ("GIN, 1 MB pending", "alter index has set (fastupdate = on, gin_pending_list_limit = 1024)"),
            ("GIN, 4 MB pending", "alter index has set (fastupdate = on, gin_pending_list_limit = 4096)"),
            ("none", "drop index has"),
        ] {
            self.run(change).await?;
            self.run("checkpoint").await?;
            let wal = self.wal().await?;
            let mut times = Vec::new();
            for image in next..next + PUT {
                let (tenant, all) = fleet.image(image);
                times.push(ms(self.put(tenant, image, &all).await?));
            }
            next += PUT;
            let wal = (self.wal().await? - wal) / i64::from(PUT) / 1024;
            let asked = if what == "none" { Vec::new() } else { fleet.with_about(100) };
            let mut asking = Vec::new();
            for id in asked {
                asking.push(ms(self.with(&[id]).await?.0));
            }
            let longest = times.iter().copied().fold(0.0, f64::max);
            let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
            let after = match asking.as_slice() {
                [] => " | ".to_owned(),
                all => format!("{:.3} | {:.3}", percentile(all, 0.5), percentile(all, 0.99)),
            };
            println!("| {what} | {p50:.2} | {p99:.2} | {longest:.1} | {wal} | {after} |");
        }
        let (tenant, _) = fleet.image(next);
        let many: Vec<u32> = (1..=100_000).collect();
        self.run("create index has on image_component using gin (components)").await?;
        println!("\nan image of 100,000 packages: {:.0} ms", ms(self.put(tenant, next, &many).await?));
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    async fn put(&mut self, tenant: u64, image: u32, all: &[u32]) -> anyhow::Result<Duration> {
        let ids: Vec<i32> = all.iter().map(|id| id.cast_signed()).collect();
        let started = Instant::now();
        sqlx::query("insert into image_component values (lpad(to_hex($1), 32, '0')::uuid, $2, $3, 1, $4)")
            .bind(tenant.cast_signed())
            .bind(digest(image))
            .bind(image.cast_signed())
            .bind(ids)
            .execute(&mut self.0)
            .await?;
        Ok(started.elapsed())
    }

    async fn wal(&mut self) -> anyhow::Result<i64> {
        let query = "select (pg_current_wal_lsn() - '0/0')::bigint";
        Ok(sqlx::query(query).fetch_one(&mut self.0).await?.get(0))
    }

    async fn run(&mut self, statement: &'static str) -> anyhow::Result<()> {
        sqlx::raw_sql(statement).execute(&mut self.0).await?;
        Ok(())
    }
}

fn line(lines: &mut String, tenant: u64, image: u32, all: &[u32]) {
    let _ = write!(lines, "{tenant:032x}\t{}\t{image}\t1\t{{", digest(image));
    for (place, id) in all.iter().enumerate() {
        let _ = write!(lines, "{}{id}", if place == 0 { "" } else { "," });
    }
    lines.push_str("}\n");
}

/// As long as a digest, and as little sorted.
fn digest(image: u32) -> String {
    model::Digest::of(&image.to_le_bytes()).to_string()
}
