//! The part of an index that one image asks for. It answers for that image as the whole does, and for no other; so it is
//! never handed on, and nothing is applied to it.

use std::sync::Arc;

use advisory::Ecosystem;
use model::FeedId;

use super::{Entry, Index, Source, Table, Tables};

/// A part of an index while it is put together.
pub(crate) struct Excerpt(Tables);

impl Excerpt {
    /// Of an index with these feeds, which speaks of these ecosystems and was built from so many advisories.
    pub(crate) fn new(feeds: Vec<FeedId>, ecosystems: &[Ecosystem], advisories: usize) -> Self {
        let spoken_of = || Arc::new(Table { speakers: 1, ..Table::default() });
        let tables = ecosystems.iter().map(|ecosystem| (Arc::new(ecosystem.clone()), spoken_of())).collect();
        Self(Tables { feeds, tables, advisories, ..Tables::default() })
    }

    /// Everything that the index says of a package of one of its ecosystems.
    pub(crate) fn package(&mut self, ecosystem: &Ecosystem, package: &str, entries: Vec<Arc<Entry>>) {
        if let Some(table) = self.0.tables.get_mut(ecosystem) {
            Arc::make_mut(table).packages.insert(package.into(), Arc::new(entries));
        }
    }

    /// The advisory with this number. It is found by name only if it tells its places.
    pub(crate) fn source(&mut self, number: u32, source: Source) {
        self.0.sources.insert(number, Arc::new(source));
    }

    pub(crate) fn into_index(self) -> Index {
        Index(Arc::new(self.0))
    }
}
