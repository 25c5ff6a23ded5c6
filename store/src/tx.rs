//! Transactions that say for whom they act. There is no other way to a table.

use model::TenantId;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use crate::{Error, Store};

/// A transaction in which only one tenant's rows exist.
#[derive(Debug)]
pub struct TenantTx {
    tenant: TenantId,
    inner: Inner,
}

/// A transaction for what belongs to no tenant, or to all: relay, sweeper, feeds, operators.
#[derive(Debug)]
pub struct FleetTx {
    inner: Inner,
}

#[derive(Debug)]
struct Inner {
    tx: Transaction<'static, Postgres>,
    store: Store,
    rang: bool,
}

impl TenantTx {
    pub(crate) async fn open(store: &Store, tenant: TenantId) -> Result<Self, Error> {
        // A UUID is hexadecimal digits and hyphens, so it cannot break out of its quotes.
        let opening = format!("begin; set local role starling_tenant; set local app.tenant = '{tenant}'");
        let tx = store.pool().begin_with(AssertSqlSafe(opening)).await?;
        Ok(Self { tenant, inner: Inner { tx, store: store.clone(), rang: false } })
    }

    /// A transaction of steps that each name their tenant themselves (the functions of `migrations/0007`): until one
    /// has, no tenant's rows exist.
    pub(crate) async fn open_unnamed(store: &Store) -> Result<Self, Error> {
        let tx = store.pool().begin_with("begin; set local role starling_tenant").await?;
        Ok(Self { tenant: TenantId::SYSTEM, inner: Inner { tx, store: store.clone(), rang: false } })
    }

    /// Whose rows these are.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Makes it durable. Dropped uncommitted, it never was.
    pub async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner.tx
    }

    pub(crate) const fn rang(&mut self) {
        self.inner.rang = true;
    }
}

impl FleetTx {
    pub(crate) async fn open(store: &Store) -> Result<Self, Error> {
        let tx = store.pool().begin_with("begin; set local role starling_fleet").await?;
        Ok(Self { inner: Inner { tx, store: store.clone(), rang: false } })
    }

    /// Makes it durable. Dropped uncommitted, it never was.
    pub async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner.tx
    }

    pub(crate) const fn rang(&mut self) {
        self.inner.rang = true;
    }
}

impl Inner {
    async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await?;
        if self.rang {
            self.store.notify_relay();
        }
        Ok(())
    }
}
