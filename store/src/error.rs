//! What may go wrong, by what the caller may do about it.

use model::Digest;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such row for this tenant.
    #[error("{entity} not found")]
    NotFound {
        /// What was looked for.
        entity: &'static str,
    },
    /// The very same is there already.
    #[error("{entity} is there already")]
    AlreadyExists {
        /// What was to be made.
        entity: &'static str,
    },
    /// Another node owns this entity now. Stop; the new owner goes on.
    #[error("lost the lease on {entity}")]
    Fenced {
        /// Whose effect it was.
        entity: &'static str,
    },
    /// Something newer is there: read again, then decide again.
    #[error("{entity} has changed meanwhile")]
    Stale {
        /// What has changed.
        entity: &'static str,
    },
    /// An image names a blob that was never uploaded.
    #[error("blob {digest} is missing")]
    MissingBlob {
        /// Which.
        digest: Digest,
    },
    /// The request contradicts what is stored; asking again does not help.
    #[error("{what}")]
    Conflict {
        /// In the caller's words.
        what: String,
    },
    /// The bytes are not those that were announced. Nothing was kept.
    #[error("expected {expected}, got {found}")]
    WrongContent {
        /// What was announced.
        expected: String,
        /// What came.
        found: String,
    },
    /// A row the domain refuses: a bug or a hand-made edit, never the user's fault.
    #[error("{table} holds a row the domain refuses")]
    Corrupt {
        /// Where it is.
        table: &'static str,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The stream that was to be stored broke off.
    #[error("reading what was to be stored failed")]
    Reading(#[source] std::io::Error),
    /// The database did not answer; it may have done it or not. Asking again is safe.
    #[error("database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The object store did not answer. Asking again is safe.
    #[error("object store is unavailable")]
    ObjectsUnavailable(#[source] object_store::Error),
    /// The schema in the database is not the one this binary was built with.
    #[error("database schema does not fit this binary")]
    Schema(#[source] sqlx::migrate::MigrateError),
}

impl Error {
    /// Whether the same call may succeed later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::ObjectsUnavailable(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        // Classes 22 and 23 of SQLSTATE: the values themselves are refused, so trying again cannot help.
        let refused = error
            .as_database_error()
            .is_some_and(|e| e.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23")));
        if refused { Self::Conflict { what: error.to_string() } } else { Self::Unavailable(error) }
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound { entity: "object" },
            other => Self::ObjectsUnavailable(other),
        }
    }
}
