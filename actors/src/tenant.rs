//! Tenant.
pub mod admission;
