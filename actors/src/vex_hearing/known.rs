//! What holds for a tenant at a snapshot: whether there is any VEX, and whom it trusts. Snapshots never change, so what
//! was asked once stays true.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Digest, SnapshotId, TenantId};
use store::Store;
use store::vex::Source;
use time::OffsetDateTime;
use vex::signature::Signature;
use vex::trust::Directory;

/// Tenants and snapshots that are remembered.
const STATES: usize = 4_096;
/// Directories that are held.
const DIRECTORIES: usize = 256;
/// Signatures that were checked and are remembered.
const SIGNATURES: usize = 65_536;

/// What holds for a tenant at a snapshot.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) is_any: bool,
    pub(super) directory: Arc<Directory>,
    version: DirectoryVersion,
}

/// A directory, by its tenant and the snapshot of the last change in it.
type DirectoryVersion = (TenantId, SnapshotId);

/// A signature of a file by a directory: the file, what lies beside it, and when it was taken in.
type Checked = (DirectoryVersion, Digest, Option<Digest>, OffsetDateTime);

#[derive(Debug, Default)]
pub(super) struct Known {
    states: Mutex<Bounded<(TenantId, SnapshotId), State>>,
    directories: Mutex<Bounded<DirectoryVersion, Arc<Directory>>>,
    signatures: Mutex<Bounded<Checked, Signature>>,
}

/// A map that forgets everything when it is full: what is in use comes again.
#[derive(Debug)]
struct Bounded<K, V>(HashMap<K, V>);

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Bounded<K, V> {
    fn put(&mut self, key: K, value: V, limit: usize) {
        if self.0.len() >= limit {
            self.0.clear();
        }
        self.0.insert(key, value);
    }
}

fn look<K: Eq + Hash, V: Clone>(map: &Mutex<Bounded<K, V>>, key: &K) -> Option<V> {
    map.lock().unwrap_or_else(PoisonError::into_inner).0.get(key).cloned()
}

fn keep<K: Eq + Hash, V: Clone>(map: &Mutex<Bounded<K, V>>, key: K, value: V, limit: usize) {
    map.lock().unwrap_or_else(PoisonError::into_inner).put(key, value, limit);
}

impl Known {
    /// What holds for a tenant at a snapshot that is there.
    pub(super) async fn of(
        &self,
        store: &Store,
        tenant: TenantId,
        at: SnapshotId,
    ) -> Result<State, store::Error> {
        if let Some(state) = look(&self.states, &(tenant, at)) {
            return Ok(state);
        }
        let mut tx = store.tenant(tenant).await?;
        let is_any = store::vex::is_any(&mut tx, at).await?;
        let version =
            (tenant, if is_any { store::issuers::last_change(&mut tx, at).await? } else { SnapshotId(0) });
        let directory = match look(&self.directories, &version) {
            Some(directory) => directory,
            None if is_any => {
                let changes = store::issuers::changes(&mut tx, at).await?;
                let directory = Arc::new(vex::trust::fold(&changes.global, &changes.own));
                keep(&self.directories, version, Arc::clone(&directory), DIRECTORIES);
                directory
            }
            // Nobody asks it.
            None => Arc::default(),
        };
        tx.commit().await?;
        let state = State { is_any, directory, version };
        keep(&self.states, (tenant, at), state.clone(), STATES);
        Ok(state)
    }

    /// What is known of a file's signature.
    pub(super) fn checked(&self, source: &Source, state: &State) -> Option<Signature> {
        look(&self.signatures, &checked(source, state))
    }

    pub(super) fn remember(&self, source: &Source, state: &State, signature: Signature) {
        keep(&self.signatures, checked(source, state), signature, SIGNATURES);
    }
}

fn checked(source: &Source, state: &State) -> Checked {
    let beside = source.signature.as_deref().map(Digest::of);
    (state.version, source.digest.clone(), beside, source.taken_in)
}
