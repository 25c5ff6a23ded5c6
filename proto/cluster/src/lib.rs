//! What nodes of one cluster say to each other, and the code made from it (never committed).

/// Version 1 of the language between nodes.
#[expect(clippy::allow_attributes, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("starling.cluster.v1");
}

/// The compiled .proto files (a `google.protobuf.FileDescriptorSet`), for tests.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The newest wire version this build speaks. Raised by a release whose nodes say something else than those before:
/// 2 has the number of live entities in a pong.
pub const WIRE_MAX: u32 = 2;
/// The oldest wire version this build speaks: that of the release before, so that nodes of both run side by side
/// while a cluster is upgraded.
pub const WIRE_MIN: u32 = WIRE_MAX - 1;
