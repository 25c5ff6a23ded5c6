//! Clients: each submits jobs under keys of its own, again and again under the same key until it is answered; and
//! what is there from the beginning.

use std::collections::BTreeSet;
use std::time::Duration;

use invariants::{Answer as Told, Id};
use model::{JobKind, JobState, Lane, Stage};

use crate::database::{ImageRow, Job, Tenant};
use crate::keys::{IMAGES, Image, Key, TENANTS, Who};
use crate::node::News as NodeNews;
use crate::question::{Answer, Ask, Question, To};
use crate::world::{Happening, World};

/// A client gives up on an answer after this.
const PATIENCE: Duration = Duration::from_secs(3);

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    tenant: u8,
    /// Requests that are still to be made.
    left: u32,
    /// The one it is at, and the number of the present try.
    request: Option<(Id, Job)>,
    tries: u64,
    /// What it was told.
    pub(crate) told: Vec<Told>,
}

/// What reaches a client.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// It is time for the next request.
    Next,
    /// The try of this number was answered, or not in time.
    Answered(u64, Option<Id>),
}

impl World {
    /// Tenants, images and clients.
    pub(crate) fn furnish(&mut self) {
        for number in 0..TENANTS {
            let max_inflight = 2 + u32::try_from(self.chance.below(5)).expect("small");
            let weight = u32::from(number) + 1;
            let tenant = Tenant { weight, max_inflight, max_queued: 30, open: 0, inflight: 0 };
            self.database.tenants.push(tenant);
            for image in 0..IMAGES {
                let is_broken = self.chance.one_in(12);
                let image = Image { tenant: number, number: image };
                self.database.images.insert(image, ImageRow { is_broken, ..ImageRow::default() });
            }
        }
        for client in 0..2 * usize::from(TENANTS) {
            let tenant = u8::try_from(client).expect("few") % TENANTS;
            let left = 4 + u32::try_from(self.chance.below(6)).expect("small");
            self.clients.push(Client { tenant, left, request: None, tries: 0, told: Vec::new() });
            self.client_later(client, Duration::from_secs(15), News::Next);
        }
        let first = self.chance.between(Duration::from_secs(5), Duration::from_secs(40));
        self.schedule(first, 0, 0, Happening::Feeds);
    }

    /// Whether every client has been answered everything.
    pub(crate) fn are_clients_content(&self) -> bool {
        self.clients.iter().all(|client| client.left == 0 && client.request.is_none())
    }

    fn client_later(&mut self, client: usize, within: Duration, news: News) {
        let after = self.chance.between(Duration::from_millis(100), within);
        self.schedule(after, client, 0, Happening::Client(news));
    }

    pub(crate) fn client_told(&mut self, number: usize, news: News) {
        match news {
            News::Next => {
                if self.clients[number].request.is_none() && self.clients[number].left > 0 {
                    let request = self.new_request(number);
                    self.clients[number].left -= 1;
                    self.clients[number].request = Some(request);
                }
                self.submit(number);
            }
            News::Answered(number_of_try, answer) if self.clients[number].tries == number_of_try => {
                self.clients[number].tries += 1; // An answer that comes later is of no use.
                match answer {
                    Some(job) => self.is_told(number, job),
                    None => self.client_later(number, Duration::from_secs(2), News::Next),
                }
            }
            News::Answered(..) => {}
        }
    }

    fn is_told(&mut self, number: usize, job: Id) {
        let client = &mut self.clients[number];
        let Some((request, _)) = client.request.take() else { return };
        client.told.push(Told { tenant: u128::from(client.tenant), request, job });
        self.client_later(number, Duration::from_secs(8), News::Next);
        if self.chance.one_in(10) {
            let node = self.any_node();
            self.inform(node, Duration::from_millis(5), NodeNews::Cancel(job));
        }
    }

    fn new_request(&mut self, number: usize) -> (Id, Job) {
        let client = &self.clients[number];
        let request = (number as u128) << 32 | u128::from(client.left);
        let image = Image { tenant: client.tenant, number: self.chance.small(IMAGES) };
        let kind = if self.chance.one_in(4) { JobKind::Reevaluate } else { JobKind::Scan };
        let lane = Lane::ALL[usize::from(self.chance.small(3))];
        let limit = self.chance.between(Duration::from_secs(5), Duration::from_secs(90));
        let job = Job {
            request,
            image,
            kind,
            lane,
            state: JobState::Accepted,
            stage: Stage::Queued,
            since: Duration::ZERO,
            attempt: 0,
            is_admitted: false,
            verdict: None,
            deadline: self.chance.one_in(12).then_some(limit),
            events: Vec::new(),
        };
        (request, job)
    }

    fn any_node(&mut self) -> usize {
        usize::try_from(self.chance.below(self.nodes.len() as u64)).expect("small")
    }

    /// Through any node; whether it hears is another question.
    fn submit(&mut self, number: usize) {
        let Some((_, job)) = self.clients[number].request.clone() else { return };
        let tries = self.clients[number].tries;
        self.schedule(PATIENCE, number, 0, Happening::Client(News::Answered(tries, None)));
        let node = self.any_node();
        let delay = self.delay();
        self.inform(node, delay, NodeNews::Submit { client: number, number: tries, job: Box::new(job) });
    }

    /// A node's door passes a request on. Ids begin with the time, by the node's own clock of the wall.
    pub(crate) fn pass_on(&mut self, index: usize, client: usize, number: u64, job: Box<Job>) {
        let wall = self.now + self.nodes[index].wall_ahead;
        let id = wall.as_millis() << 64 | u128::from(self.chance.next());
        let to = To::Door { client, number };
        self.ask(index, Question::Database(to, Ask::Submit(id, job)), NodeNews::Database(to, None));
    }

    pub(crate) fn answer_client(&mut self, client: usize, number: u64, answer: Option<Answer>) {
        let job = if let Some(Answer::Job(job)) = answer { job } else { None };
        let delay = self.delay();
        self.schedule(delay, client, 0, Happening::Client(News::Answered(number, job)));
    }

    /// A new snapshot: what is known of some images is another.
    pub(crate) fn feeds_change(&mut self) {
        let all: Vec<Image> = self.database.images.keys().copied().collect();
        let one_in = 1 + self.chance.below(5);
        let changed: BTreeSet<Image> = all.into_iter().filter(|_| self.chance.one_in(one_in)).collect();
        self.tell(|| format!("feeds change {} images", changed.len()));
        self.database.snapshots.push(changed);
        let date = self.date();
        self.database.ring(Who::Entity(Key::Scheduler), Lane::Interactive, date, Duration::ZERO);
        if self.now < self.plan.rage {
            let next = self.chance.between(Duration::from_secs(3), Duration::from_secs(30));
            self.schedule(next, 0, 0, Happening::Feeds);
        }
    }
}
