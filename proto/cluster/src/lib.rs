//! What nodes of one cluster say to each other, and the code made from it (never committed).

/// Version 1 of the language between nodes.
#[expect(clippy::allow_attributes, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("starling.cluster.v1");
}

/// The oldest wire version this build speaks.
pub const WIRE_MIN: u32 = 1;
/// The newest wire version this build speaks.
pub const WIRE_MAX: u32 = 1;
