//! What holds for a tenant at a snapshot: whether there is any VEX, and whom it trusts. Snapshots never change, so what
//! was asked once stays true.

use std::sync::Arc;

use model::{Digest, SnapshotId, TenantId};
use store::Store;
use store::vex::Source;
use time::OffsetDateTime;
use vex::signature::Signature;
use vex::trust::Directory;

use crate::remembered::Remembered;

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

#[derive(Debug)]
pub(super) struct Known {
    states: Remembered<(TenantId, SnapshotId), State>,
    directories: Remembered<DirectoryVersion, Arc<Directory>>,
    signatures: Remembered<Checked, Signature>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            states: Remembered::new(STATES),
            directories: Remembered::new(DIRECTORIES),
            signatures: Remembered::new(SIGNATURES),
        }
    }
}

impl Known {
    /// What holds for a tenant at a snapshot that is there.
    pub(super) async fn of(
        &self,
        store: &Store,
        tenant: TenantId,
        at: SnapshotId,
    ) -> Result<State, store::Error> {
        if let Some(state) = self.states.get(&(tenant, at)) {
            return Ok(state);
        }
        let mut tx = store.tenant(tenant).await?;
        let is_any = store::vex::is_any(&mut tx, at).await?;
        let version =
            (tenant, if is_any { store::issuers::last_change(&mut tx, at).await? } else { SnapshotId(0) });
        let directory = match self.directories.get(&version) {
            Some(directory) => directory,
            None if is_any => {
                let changes = store::issuers::changes(&mut tx, at).await?;
                let directory = Arc::new(vex::trust::fold(&changes.global, &changes.own));
                self.directories.put(version, Arc::clone(&directory));
                directory
            }
            // Nobody asks it.
            None => Arc::default(),
        };
        tx.commit().await?;
        let state = State { is_any, directory, version };
        self.states.put((tenant, at), state.clone());
        Ok(state)
    }

    /// What is known of a file's signature.
    pub(super) fn checked(&self, source: &Source, state: &State) -> Option<Signature> {
        self.signatures.get(&checked(source, state))
    }

    pub(super) fn remember(&self, source: &Source, state: &State, signature: Signature) {
        self.signatures.put(checked(source, state), signature);
    }
}

fn checked(source: &Source, state: &State) -> Checked {
    let beside = source.signature.as_deref().map(Digest::of);
    (state.version, source.digest.clone(), beside, source.taken_in)
}
