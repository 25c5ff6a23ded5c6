//! Free ports on loopback. One that was used before is taken again if it can be, so that addresses stay.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};

use anyhow::{Context, Result};

/// `port` on loopback.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Chooses several different free ports.
#[derive(Debug, Default)]
pub struct Ports {
    /// Held until all are chosen: two of them cannot be the same.
    held: Vec<TcpListener>,
}

impl Ports {
    /// The port used last time, if it is free; else the first free one from `near` on; else any.
    pub fn choose(&mut self, before: Option<u16>, near: u16) -> Result<u16> {
        let wanted = before.into_iter().chain(near..near.saturating_add(100)).chain([0]);
        let listener = wanted.map(loopback).find_map(|address| TcpListener::bind(address).ok());
        let listener = listener.context("no port is free on loopback")?;
        let port = listener.local_addr()?.port();
        self.held.push(listener);
        Ok(port)
    }
}

/// Any free port, for a test.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind(loopback(0)).context("no port is free on loopback")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept_while_it_is_free_and_never_given_twice() {
        let mut ports = Ports::default();
        let first = ports.choose(None, 27_500).unwrap();
        let second = ports.choose(Some(first), 27_500).unwrap();
        assert_ne!(first, second);
        drop(ports);
        assert_eq!(Ports::default().choose(Some(second), 27_500).unwrap(), second);
    }
}
