//! The outside world, one file each. What comes from here is hostile until a parser has read it.

pub mod feeds;
pub mod registry;
#[cfg(test)]
mod test_server;
