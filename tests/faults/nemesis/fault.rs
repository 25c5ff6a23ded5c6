//! The faults, as values.

use std::time::Duration;

use tests::line::{Way, Ways};
use tests::{Clock, TestCluster};

use super::crowd::Crowd;

/// An hour, in seconds.
const HOUR: i64 = 3_600;
/// How much later a piece of 8 KiB arrives on a slow network.
const SLOW: Duration = Duration::from_millis(4);

/// What goes wrong. Where it is about one node, the test says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// `kill -9`.
    KillNode,
    /// SIGSTOP, until others have taken its work over.
    FreezeNode,
    /// `kill -9` of the postmaster.
    KillPostmaster,
    /// Valkey forgets everything.
    FlushValkey,
    /// `kill -9` of Valkey, which comes back empty.
    KillValkey,
    /// A node is cut off from the database.
    CutDatabase(Cut),
    /// A node is cut off from Valkey.
    CutValkey(Cut),
    /// The other nodes are cut off from a node.
    CutPeers(Cut),
    /// No node hears any other.
    CutAllPeers,
    /// Everything that every node says and hears comes late.
    SlowNetwork,
    /// The database's disk is full.
    FillData,
    /// The object store's disk is full.
    FillObjects,
    /// A node's wall clock is set.
    SetClock(Set),
    /// A node leaves in order, and comes back.
    Leave,
}

/// Which way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    /// What is asked does not arrive.
    Asks,
    /// What is answered does not.
    Answers,
    /// Neither does.
    Both,
}

/// Which way a clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
    Forward,
    Back,
}

/// When, and how soon, jobs that are submitted from then on must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Since it began, while it lasts.
    During(Duration),
    /// Since it ended: all stands still meanwhile, or may.
    After(Duration),
}

impl Cut {
    fn ways(self) -> Ways {
        match self {
            Self::Asks => Ways::asks_lost(),
            Self::Answers => Ways::answers_lost(),
            Self::Both => Ways::both(Way::Cut),
        }
    }
}

impl Fault {
    /// All of them.
    pub(super) const ALL: [Self; 21] = [
        Self::KillNode,
        Self::FreezeNode,
        Self::KillPostmaster,
        Self::FlushValkey,
        Self::KillValkey,
        Self::CutDatabase(Cut::Asks),
        Self::CutDatabase(Cut::Answers),
        Self::CutDatabase(Cut::Both),
        Self::CutValkey(Cut::Asks),
        Self::CutValkey(Cut::Answers),
        Self::CutValkey(Cut::Both),
        Self::CutPeers(Cut::Asks),
        Self::CutPeers(Cut::Answers),
        Self::CutPeers(Cut::Both),
        Self::CutAllPeers,
        Self::SlowNetwork,
        Self::FillData,
        Self::FillObjects,
        Self::SetClock(Set::Forward),
        Self::SetClock(Set::Back),
        Self::Leave,
    ];

    /// Its name.
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether this machine can do it; if not, what it lacks.
    pub(super) fn lacks(self, cluster: &TestCluster) -> Option<&'static str> {
        match self {
            Self::FillData | Self::FillObjects if cluster.servers.disks.is_none() => {
                Some("the right to mount a small disk")
            }
            Self::SetClock(_) if cluster.nodes()[0].clock().is_none() => Some("libfaketime"),
            _ => None,
        }
    }

    /// How soon there must be progress: two leases, which last a second under test, and a second for the rest.
    pub(super) fn progress(self) -> Progress {
        let seconds = Duration::from_secs;
        match self {
            Self::KillPostmaster | Self::KillValkey => Progress::After(seconds(2)),
            Self::FillData | Self::FillObjects => Progress::After(seconds(5)),
            Self::SlowNetwork => Progress::During(seconds(10)),
            _ => Progress::During(seconds(3)),
        }
    }

    /// Does it to the cluster, and to this node.
    pub(super) async fn begin(self, cluster: &mut TestCluster, victim: usize) {
        match self {
            Self::KillNode => cluster.nodes_mut()[victim].kill(),
            Self::FreezeNode => cluster.nodes()[victim].freeze(),
            Self::KillPostmaster => cluster.servers.postgres.kill(),
            Self::FlushValkey => cluster.servers.valkey.flush_all().await,
            Self::KillValkey => cluster.servers.valkey.kill(),
            Self::CutDatabase(cut) => cluster.nodes()[victim].lines().database.set(cut.ways()),
            Self::CutValkey(cut) => cluster.nodes()[victim].lines().valkey.set(cut.ways()),
            Self::CutPeers(cut) => cluster.nodes()[victim].lines().peers.set(cut.ways()),
            Self::CutAllPeers => {
                cluster.nodes().iter().for_each(|node| node.lines().peers.set(Ways::both(Way::Cut)));
            }
            Self::SlowNetwork => cluster.nodes().iter().for_each(|node| {
                let lines = node.lines();
                let slow = Ways::both(Way::Slow(SLOW));
                [&lines.database, &lines.valkey, &lines.peers].iter().for_each(|line| line.set(slow));
            }),
            Self::FillData => disks(cluster).data.fill(),
            Self::FillObjects => disks(cluster).objects.fill(),
            Self::SetClock(Set::Forward) => clock(cluster, victim).set(HOUR),
            Self::SetClock(Set::Back) => clock(cluster, victim).set(-HOUR),
            Self::Leave => cluster.nodes()[victim].ask_to_leave(),
        }
    }

    /// Waits until it has done its worst.
    pub(super) async fn rages(self, cluster: &mut TestCluster, victim: usize, crowd: &Crowd) {
        match self {
            Self::KillPostmaster | Self::FillData | Self::FillObjects => crowd.suffers(3).await,
            // Jobs are accepted without it: the database alone says what is accepted.
            Self::KillValkey => crowd.accepts(3).await,
            Self::FreezeNode => {
                let name = cluster.nodes()[victim].name().to_owned();
                let lives =
                    format!("select count(*) from cluster.node where name = '{name}' and ended_at is null");
                let truth = cluster.truth();
                tests::eventually(super::LONG, "it is declared dead", || async {
                    truth.number(&lives).await == 0
                })
                .await;
            }
            Self::Leave => {
                let ended = cluster.nodes_mut()[victim].end(super::LONG).await;
                assert_eq!(ended.code(), Some(0), "{}", cluster.nodes()[victim].last_words());
            }
            _ => {}
        }
    }

    /// Takes it back. Nodes that have ended are started again by whoever calls this.
    pub(super) async fn end(self, cluster: &mut TestCluster, victim: usize) {
        match self {
            Self::FreezeNode => cluster.nodes()[victim].thaw(),
            Self::KillPostmaster => cluster.servers.postgres.restart().await,
            Self::KillValkey => cluster.servers.valkey.restart().await,
            Self::CutDatabase(_)
            | Self::CutValkey(_)
            | Self::CutPeers(_)
            | Self::CutAllPeers
            | Self::SlowNetwork => cluster.nodes().iter().for_each(|node| node.lines().heal()),
            Self::FillData => {
                disks(cluster).data.free();
                cluster.servers.postgres.serves().await;
            }
            Self::FillObjects => disks(cluster).objects.free(),
            Self::SetClock(_) => clock(cluster, victim).set(0),
            Self::KillNode | Self::FlushValkey | Self::Leave => {}
        }
    }
}

fn disks(cluster: &TestCluster) -> &tests::Disks {
    cluster.servers.disks.as_ref().expect("there are small disks")
}

fn clock(cluster: &TestCluster, victim: usize) -> &Clock {
    cluster.nodes()[victim].clock().expect("there is libfaketime")
}
