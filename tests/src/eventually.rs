//! Waiting for something to become true, with a deadline. The only place where a test lets time pass.

use std::future::Future;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(15);

/// Asks again and again until the answer is `Some`, and gives it.
///
/// # Panics
/// When it is still `None` at the deadline, naming what was waited for.
pub async fn eventually_some<T, F>(within: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Asks again and again until the answer is yes.
///
/// # Panics
/// When it is still no at the deadline, naming what was waited for.
pub async fn eventually<F>(within: Duration, what: &str, mut ask: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    eventually_some(within, what, || {
        let answer = ask();
        async { answer.await.then_some(()) }
    })
    .await;
}
