//! A line between two processes that can be cut, one way or both, or be slow.
//!
//! What is said on a line that is cut is held and comes late, as TCP brings it once the network is whole again; nobody
//! is told that it is cut, neither by an error nor by an end. A connection is taken at once and goes nowhere. It needs
//! no rights and no kernel of a certain make; what it does not show are lost acknowledgements: here a cut way loses
//! nothing of the other one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ports;

/// What is read at once, and with it what a slow line carries in one turn.
const PIECE: usize = 8 << 10;

/// How one way of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// As it should be.
    #[default]
    Open,
    /// Nothing arrives.
    Cut,
    /// Each piece arrives so much later.
    Slow(Duration),
}

/// Both ways of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ways {
    /// From whoever connects.
    pub there: Way,
    /// To whoever connected.
    pub back: Way,
}

impl Ways {
    /// Both are so.
    pub const fn both(way: Way) -> Self {
        Self { there: way, back: way }
    }

    /// What is asked is lost.
    pub const fn asks_lost() -> Self {
        Self { there: Way::Cut, back: Way::Open }
    }

    /// What is asked arrives, and the answers are lost.
    pub const fn answers_lost() -> Self {
        Self { there: Way::Open, back: Way::Cut }
    }
}

/// A port that leads to another one of this machine.
#[derive(Debug)]
pub struct Line {
    port: u16,
    ways: watch::Sender<Ways>,
    task: JoinHandle<()>,
}

impl Line {
    /// A line to this port, open.
    pub(crate) async fn to(target: u16) -> Self {
        let port = ports::free();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free");
        let (ways, seen) = watch::channel(Ways::default());
        let task = tokio::spawn(carry(listener, SocketAddr::from((Ipv4Addr::LOCALHOST, target)), seen));
        Self { port, ways, task }
    }

    /// Where it begins.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes it so from now on.
    pub fn set(&self, ways: Ways) {
        self.ways.send_replace(ways);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a node reaches the servers and is reached by other nodes, where that can be cut.
#[derive(Debug)]
pub struct Lines {
    /// To the database.
    pub database: Line,
    /// To Valkey.
    pub valkey: Line,
    /// From the other nodes.
    pub peers: Line,
    /// Where it listens for them.
    pub(crate) listen: u16,
}

impl Lines {
    pub(crate) async fn to((database, valkey): (u16, u16)) -> Self {
        let listen = ports::free();
        let (database, valkey) = (Line::to(database).await, Line::to(valkey).await);
        Self { database, valkey, peers: Line::to(listen).await, listen }
    }

    /// All of them are whole.
    pub fn heal(&self) {
        for line in [&self.database, &self.valkey, &self.peers] {
            line.set(Ways::default());
        }
    }
}

async fn carry(listener: TcpListener, target: SocketAddr, ways: watch::Receiver<Ways>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((near, _)) = listener.accept().await else { continue };
        connections.spawn(connect(near, target, ways.clone()));
    }
}

async fn connect(near: TcpStream, target: SocketAddr, mut ways: watch::Receiver<Ways>) {
    arrives(&mut ways, |ways| ways.there).await;
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_reads, near_writes), (far_reads, far_writes)) = (near.into_split(), far.into_split());
    let there = pass(near_reads, far_writes, ways.clone(), |ways| ways.there);
    let back = pass(far_reads, near_writes, ways, |ways| ways.back);
    tokio::join!(there, back);
}

/// Passes on what comes until it ends, and then the end.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut ways: watch::Receiver<Ways>,
    which: fn(&Ways) -> Way,
) {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await.unwrap_or(0);
        arrives(&mut ways, which).await;
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            // Dropped, it tells the other end that nothing more comes.
            return;
        }
    }
}

/// Waits until what is on its way arrives.
async fn arrives(ways: &mut watch::Receiver<Ways>, which: fn(&Ways) -> Way) {
    let way = ways.wait_for(|ways| which(ways) != Way::Cut).await.map(|ways| which(&ways));
    match way {
        Ok(Way::Slow(by)) => tokio::time::sleep(by).await,
        Ok(Way::Open | Way::Cut) => {}
        // The line is gone, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(150);

    /// An end that is connected through a line, and the other end.
    async fn ends() -> (Line, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let line = Line::to(listener.local_addr().unwrap().port()).await;
        let near = TcpStream::connect((Ipv4Addr::LOCALHOST, line.port())).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (line, near, far)
    }

    async fn says(from: &mut TcpStream, to: &mut TcpStream, within: Duration) -> Option<u8> {
        from.write_all(b"x").await.unwrap();
        timeout(within, to.read_u8()).await.ok().map(Result::unwrap)
    }

    #[tokio::test]
    async fn each_way_is_cut_by_itself_and_what_was_said_comes_late() {
        let (line, mut near, mut far) = ends().await;
        assert_eq!(says(&mut near, &mut far, LONG).await, Some(b'x'));
        line.set(Ways::asks_lost());
        assert_eq!(says(&mut near, &mut far, SHORT).await, None);
        assert_eq!(says(&mut far, &mut near, LONG).await, Some(b'x'));
        line.set(Ways::answers_lost());
        assert_eq!(timeout(LONG, far.read_u8()).await.unwrap().unwrap(), b'x', "said while it was cut");
        assert_eq!(says(&mut far, &mut near, SHORT).await, None);
        assert_eq!(says(&mut near, &mut far, LONG).await, Some(b'x'));
    }

    #[tokio::test]
    async fn an_end_is_passed_on_and_does_not_pass_a_cut() {
        let (line, near, mut far) = ends().await;
        line.set(Ways::both(Way::Cut));
        drop(near);
        assert!(timeout(SHORT, far.read_u8()).await.is_err());
        line.set(Ways::default());
        assert!(timeout(LONG, far.read_u8()).await.unwrap().is_err());
    }
}
