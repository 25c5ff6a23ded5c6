//! Where stored SBOMs are evaluated: in places, away from the threads that wait. Those for whom nobody waits do not
//! stand in the way of those for whom somebody does.
//!
//! A run over the fleet asks many images of one node at once. They wait in a queue of their own and have all places but
//! one, so that a scan mostly finds that one free. Where there is only one, a scan waits for one of them at most.

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// The places of a node.
#[derive(Debug)]
pub(crate) struct Places {
    all: Semaphore,
    unattended: Semaphore,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    _turn: Option<SemaphorePermit<'a>>,
    _place: SemaphorePermit<'a>,
}

/// Why an SBOM can never be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unevaluable {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// Evaluating it panicked. It is a pure function: whoever asked again would see the same panic.
    #[error("the evaluation panicked")]
    Panicked,
}

impl Places {
    /// So many, at least one.
    pub(crate) fn new(places: usize) -> Self {
        let places = places.max(1);
        Self { all: Semaphore::new(places), unattended: Semaphore::new((places - 1).max(1)) }
    }

    /// Waits for a place. `attended`: whether somebody waits for what comes of it.
    pub(crate) async fn take(&self, attended: bool) -> Result<Place<'_>, AcquireError> {
        let turn = if attended { None } else { Some(self.unattended.acquire().await?) };
        Ok(Place { _turn: turn, _place: self.all.acquire().await? })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_place_is_kept_for_who_is_waited_for() {
        let places = Places::new(3);
        let (_first, _second) = (places.take(false).await.unwrap(), places.take(false).await.unwrap());
        let third = places.take(false);
        tokio::pin!(third);
        assert!(futures::poll!(third.as_mut()).is_pending(), "all but one are taken");
        places.take(true).await.unwrap();
        assert!(futures::poll!(third).is_pending());
    }

    #[tokio::test]
    async fn who_is_waited_for_finds_no_more_before_it_than_there_are_places() {
        let places = Arc::new(Places::new(1));
        let first = places.take(true).await.unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (places, done) = (places.clone(), done.clone());
            crowd.spawn(async move {
                let _place = places.take(false).await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            });
        }
        // All of the crowd stand in their queues before the one that matters comes.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        let attended = {
            let (places, done) = (places.clone(), done.clone());
            tokio::spawn(async move {
                let _place = places.take(true).await.unwrap();
                done.load(Ordering::SeqCst)
            })
        };
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(first);
        let before = attended.await.unwrap();
        assert!(before <= 1, "{before} of those that nobody waits for went first");
        while crowd.join_next().await.is_some() {}
        assert_eq!(done.load(Ordering::SeqCst), 100);
    }
}
