//! Bitmaps of images by package version, in partitions of 65,536 images: what a node would hold of its partitions, and
//! make anew when it comes to own them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use roaring::RoaringBitmap;
use sqlx::{Connection as _, PgConnection, Row as _};

/// By partition, then by package version.
pub(crate) struct Bitmaps(Vec<HashMap<u32, RoaringBitmap>>);

impl Bitmaps {
    /// Reads every image's list, and makes the bitmaps.
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    pub(crate) async fn build(url: &str) -> anyhow::Result<(Duration, Self)> {
        let started = Instant::now();
        let mut connection = PgConnection::connect(url).await?;
        let mut partitions: Vec<HashMap<u32, RoaringBitmap>> = Vec::new();
        let mut rows = sqlx::query("select image_no, components from image_component order by image_no")
            .fetch(&mut connection);
        while let Some(row) = rows.try_next().await? {
            let (image, components): (i32, Vec<i32>) = (row.get(0), row.get(1));
            let image = image.cast_unsigned();
            let partition = (image >> 16) as usize;
            partitions.resize_with(partitions.len().max(partition + 1), HashMap::new);
            for id in components {
                partitions[partition].entry(id.cast_unsigned()).or_default().insert(image);
            }
        }
        Ok((started.elapsed(), Self(partitions)))
    }

    /// The images that have one of these.
    pub(crate) fn with(&self, ids: &[i32]) -> Vec<i32> {
        let mut all = RoaringBitmap::new();
        for partition in &self.0 {
            for bitmap in ids.iter().filter_map(|id| partition.get(&id.cast_unsigned())) {
                all |= bitmap;
            }
        }
        all.into_iter().map(u32::cast_signed).collect()
    }

    /// Bytes of all of them when written, with what each belongs to.
    pub(crate) fn serialized(&self) -> u64 {
        self.0.iter().flat_map(HashMap::values).map(|bitmap| bitmap.serialized_size() as u64 + 4).sum()
    }
}
