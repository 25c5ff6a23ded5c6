//! The answering end of links.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use proto_cluster::v1::frame::Says;
use proto_cluster::v1::node_server::{Node, NodeServer};
use proto_cluster::v1::{Deliver, Frame, Ping, Pong, Reply};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::frames::{self, Numbered};
use super::{Identity, Refused, tls};
use crate::config::{LinkLimits, TlsConfig};
use crate::key::EntityKey;

/// What the node answers with.
#[async_trait]
pub(crate) trait Desk: Send + Sync + 'static {
    /// Wakes an entity that lives here.
    fn wake(&self, key: EntityKey) -> Result<(), Refused>;
    /// Asks an entity that lives here.
    async fn ask(&self, key: EntityKey, body: Bytes, ttl: Duration) -> Result<Bytes, Refused>;
    /// There is something new at the authority.
    fn hint(&self, view: i64, released: Vec<u16>);
    /// Whether the node serves, and what it knows.
    fn health(&self) -> Pong;
}

/// The listening end. Dropped, it stops at once: what was under way is asked again elsewhere.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Where it listens.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask which port was taken"))]
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers other nodes.
pub(crate) fn serve(
    listener: TcpListener,
    identity: Identity,
    tls: Option<&TlsConfig>,
    limits: LinkLimits,
    desk: Arc<dyn Desk>,
) -> io::Result<Listening> {
    let address = listener.local_addr()?;
    let service = Answering { identity: Arc::new(identity), limits, desk, named: tls.is_some() };
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(limits.keep_alive))
        .http2_keepalive_timeout(Some(limits.keep_alive))
        .tcp_nodelay(true);
    if let Some(tls) = tls {
        server = server.tls_config(tls::server(tls)).map_err(io::Error::other)?;
    }
    let router = server.add_service(NodeServer::new(service).max_decoding_message_size(2 * limits.body_max));
    let task = tokio::spawn(async move {
        if let Err(error) = router.serve_with_incoming(TcpListenerStream::new(listener)).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the listener for other nodes ended");
        }
    });
    Ok(Listening { address, task })
}

#[derive(Clone)]
struct Answering {
    identity: Arc<Identity>,
    limits: LinkLimits,
    desk: Arc<dyn Desk>,
    /// Whether callers show certificates, which must bear the names they give.
    named: bool,
}

#[async_trait]
impl Node for Answering {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn link(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::LinkStream>, Status> {
        let certificate = request.peer_certs().and_then(|chain| chain.first().cloned());
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.and_then(|frame| frame.says);
        let Some(Says::Hello(hello)) = first else {
            return Err(Status::invalid_argument("the first frame of a link is a hello"));
        };
        let caller = frames::greeted(&hello, &self.identity).map_err(Status::failed_precondition)?;
        if self.named && !certificate.is_some_and(|shown| tls::bears(&shown, &caller.name)) {
            return Err(Status::permission_denied("the certificate does not bear the name given"));
        }
        let (answers, outgoing) = mpsc::channel(self.limits.queue);
        let answering = self.clone();
        tokio::spawn(async move { answering.answer(incoming, answers).await });
        let mut numbered = Numbered::default();
        let hello = numbered.frame(frames::hello(&self.identity));
        let rest = futures::StreamExt::map(ReceiverStream::new(outgoing), move |says| numbered.frame(says));
        let all = futures::StreamExt::chain(futures::stream::iter([hello]), rest);
        Ok(Response::new(Box::pin(futures::StreamExt::map(all, Ok))))
    }

    async fn health(&self, request: Request<Ping>) -> Result<Response<Pong>, Status> {
        if request.into_inner().cluster != self.identity.cluster {
            return Err(Status::failed_precondition("this is a node of another cluster"));
        }
        Ok(Response::new(self.desk.health()))
    }
}

impl Answering {
    /// Reads on only while there is room for answers: a caller that does not take them is not read.
    async fn answer(self, mut incoming: Streaming<Frame>, answers: mpsc::Sender<Says>) {
        let places = Arc::new(Semaphore::new(self.limits.in_flight_max));
        while let Ok(Some(frame)) = incoming.message().await {
            match frame.says {
                Some(Says::Deliver(message)) => {
                    let Ok(place) = places.clone().acquire_owned().await else { return };
                    let (answering, answers) = (self.clone(), answers.clone());
                    tokio::spawn(async move {
                        let _place = place;
                        if let Some(answer) = answering.deliver(message).await {
                            let _ = answers.send(answer).await; // The caller may be gone.
                        }
                    });
                }
                Some(Says::Hint(hint)) => {
                    let released = hint.released.into_iter().filter_map(|p| u16::try_from(p).ok()).collect();
                    self.desk.hint(hint.view, released);
                }
                Some(Says::Bye(_)) => return,
                Some(Says::Hello(_) | Says::Reply(_) | Says::Nack(_)) | None => {}
            }
        }
    }

    async fn deliver(&self, message: Deliver) -> Option<Says> {
        let id = message.id;
        let view = || self.desk.health().view;
        let Some(key) = frames::key(&message) else {
            return message.ask.then(|| frames::nack(id, Refused::Bad, view()));
        };
        if !message.ask {
            let _ = self.desk.wake(key); // A hint: its bell comes by stream.
            return None;
        }
        let ttl = Duration::from_millis(message.ttl_ms.into());
        let asked = self.desk.ask(key, message.body, ttl);
        Some(match tokio::time::timeout(ttl, asked).await.unwrap_or(Err(Refused::Expired)) {
            Ok(body) if body.len() > self.limits.body_max => frames::nack(id, Refused::Bad, view()),
            Ok(body) => Says::Reply(Reply { id, body }),
            Err(refused) => frames::nack(id, refused, view()),
        })
    }
}
