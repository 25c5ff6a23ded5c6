//! Putting a node together.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use ractor::Actor;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::mind::Mind;
use super::root::{self, Root};
use super::route::Reception;
use super::{Cluster, Exit, Inner, Parts, StartError, joining};
use crate::acting::Acting;
use crate::authority::{Authority, Gen, View};
use crate::config::Config;
use crate::entities::host::{self, Host};
use crate::entities::{EntityFactory, Factories};
use crate::links::{self, Identity, Links};
use crate::placement::Placement;
use crate::streams::bell_reader::{BellReader, Serving};
use crate::streams::marker::Marker;
use crate::streams::work_reader::WorkReader;
use crate::streams::{Acks, Bells, Valkey, Windows, Work};

/// Generations remembered for a listener that is slow.
const DIED_KEPT: usize = 256;
/// Demands for work that wait to be read.
const DEMANDS: usize = 256;

/// The ends that the parts of a node write to.
struct Ends {
    view: watch::Sender<Arc<View>>,
    placement: watch::Sender<Arc<Placement>>,
    acting: watch::Sender<bool>,
    lost: watch::Sender<u64>,
    reachable: watch::Sender<bool>,
    demands: mpsc::Receiver<crate::streams::Demand>,
}

impl Cluster {
    /// Joins the cluster and takes part. Returns once this node is in the view.
    ///
    /// # Errors
    /// See [`StartError`]. What had been written of this node by then ends as a node that left or died.
    pub async fn start(
        config: Config,
        authority: Arc<dyn Authority>,
        factories: Vec<Arc<dyn EntityFactory>>,
    ) -> Result<Self, StartError> {
        check(&config)?;
        let valkey = Valkey::new(&config)?;
        let listener = TcpListener::bind(config.listen).await.map_err(StartError::Listen)?;
        let bound = listener.local_addr().map_err(StartError::Listen)?;
        let address = config.advertise.clone().unwrap_or_else(|| bound.to_string());
        let me = joining::join(&*authority, &config, address).await?;
        let (cluster_id, name) = (config.cluster_id.clone(), config.name.clone());
        let identity = Identity { cluster: cluster_id, name, generation: me, wire: config.wire };
        let reception = Arc::new(Reception::default());
        let tls = config.tls.clone();
        let listening =
            links::serve(listener, identity.clone(), tls.as_ref(), config.links, reception.clone())
                .map_err(StartError::Listen)?;
        let view = joining::up(&*authority, me, config.wire).await?;
        let links = Links::new(identity, tls, config.links);
        let (cluster, ends) = Self::assemble(config, authority, me, &view, valkey.clone(), links);
        cluster.set_going(factories, view, valkey, ends, listening).await?;
        reception.open(&cluster);
        tracing::info!(node.generation = me.0, "joined the cluster");
        Ok(cluster)
    }

    fn assemble(
        config: Config,
        authority: Arc<dyn Authority>,
        me: Gen,
        view: &View,
        valkey: Valkey,
        links: Links,
    ) -> (Self, Ends) {
        let (view, view_seen) = watch::channel(Arc::new(view.clone()));
        let (placement, placement_seen) = watch::channel(Arc::default());
        let (acting, acting_seen) = watch::channel(false);
        let (lost, lost_seen) = watch::channel(0);
        let (reachable, reachable_seen) = watch::channel(false);
        let (demand, demands) = mpsc::channel(DEMANDS);
        let inner = Inner {
            me,
            config: Arc::new(config),
            authority,
            view: view_seen,
            placement: placement_seen,
            exit: watch::channel(None).0,
            died: broadcast::channel(DIED_KEPT).0,
            bells: Bells::new(valkey.clone()),
            windows: Windows::new(valkey.clone()),
            work: Work::new(valkey, me, demand),
            lost: lost_seen,
            acting: acting_seen,
            may_act: Acting::new(),
            reachable: reachable_seen,
            entities: Arc::default(),
            links,
            root: OnceLock::new(),
        };
        (Self { inner: Arc::new(inner) }, Ends { view, placement, acting, lost, reachable, demands })
    }

    async fn set_going(
        &self,
        factories: Vec<Arc<dyn EntityFactory>>,
        view: View,
        valkey: Valkey,
        ends: Ends,
        listening: links::Listening,
    ) -> Result<(), StartError> {
        let inner = &self.inner;
        let (root, _) = Actor::spawn(None, Root { exit: inner.exit.clone() }, ()).await?;
        let factories: Factories =
            Arc::new(factories.into_iter().map(|f| (f.kind(), f)).collect::<HashMap<_, _>>());
        let acks = Acks::start(valkey.clone());
        let host = Host {
            factories,
            limits: inner.config.entities,
            hand_over: inner.config.timing.hand_over,
            acks: acks.clone(),
            acting: inner.may_act.clone(),
            live: inner.entities.clone(),
        };
        let (host, _) = Actor::spawn_linked(None, host, self.clone(), root.get_cell()).await?;
        let (serving, serving_seen) = watch::channel(Arc::<Serving>::default());
        let mut bells_seen = Vec::new();
        let mut tasks = JoinSet::new();
        for lane in 0..inner.config.lanes.len() {
            let (seen_by_reader, seen) = watch::channel(0);
            bells_seen.push(seen);
            let ringing = host.clone();
            let reader = BellReader {
                valkey: valkey.clone(),
                lane,
                serving: serving_seen.clone(),
                seen: seen_by_reader,
                acting: inner.acting.clone(),
                ring: Arc::new(move |key, bell| drop(ringing.cast(host::Message::Wake(key, Some(bell))))),
                acks: acks.clone(),
            };
            tasks.spawn(reader.run());
        }
        let work_reader = WorkReader {
            valkey: valkey.clone(),
            me: inner.me,
            demands: ends.demands,
            died: inner.died.subscribe(),
            acting: inner.acting.clone(),
        };
        tasks.spawn(work_reader.run());
        let every = inner.config.timing.beat;
        tasks.spawn(Marker { valkey, every, lost: ends.lost, reachable: ends.reachable }.run());
        let mind = Mind {
            me: inner.me,
            config: inner.config.clone(),
            authority: inner.authority.clone(),
            links: inner.links.clone(),
            host: host.clone(),
            root: root.clone(),
            view: ends.view,
            placement: ends.placement,
            acting: ends.acting,
            died: inner.died.clone(),
            serving,
            bells_seen,
            may_act: inner.may_act.clone(),
        };
        let (mind, _) = Actor::spawn_linked(None, mind, view, root.get_cell()).await?;
        let _ = root.cast(root::Message::Keep(tasks, listening));
        let _ = inner.root.set(Parts { root, mind, host });
        Ok(())
    }
}

fn check(config: &Config) -> Result<(), StartError> {
    let wrong = |what: &str| Err(StartError::Setting(what.to_owned()));
    if config.name.is_empty() || config.cluster_id.is_empty() {
        return wrong("a node needs a name and the id of its cluster");
    }
    if config.lanes.is_empty() {
        return wrong("a cluster needs at least one lane");
    }
    if !config.weight.is_finite() || config.weight <= 0.0 {
        return wrong("a node's weight is above 0");
    }
    if config.tls.is_none() && !config.listen.ip().is_loopback() {
        return wrong("without certificates a node listens on loopback only: give it tls");
    }
    let timing = &config.timing;
    if timing.margin >= timing.ttl || timing.beat >= timing.ttl {
        return wrong("the time to live must be longer than the margin and than the time between heartbeats");
    }
    Ok(())
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever still waits for the end learns that there is no more of it.
        self.exit.send_if_modified(|exit| exit.is_none() && exit.replace(Exit::Failed).is_none());
    }
}
