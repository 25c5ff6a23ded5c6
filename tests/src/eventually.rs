//! Waiting for something to become true, with a deadline. The only place where a test lets time pass.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(15);

/// Asks again and again until the answer is `Ok`, and gives it.
///
/// # Panics
/// When there is none by the deadline, naming what was waited for and the last answer.
pub async fn eventually_ok<T, E, F>(within: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let begin = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) => {
                assert!(begin.elapsed() < within, "not within {within:?}: {what}; the last was {last:?}")
            }
        }
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
    eventually_ok(within, what, || {
        let answer = ask();
        async { if answer.await { Ok(()) } else { Err(false) } }
    })
    .await;
}
