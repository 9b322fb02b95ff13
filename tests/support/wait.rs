//! Waiting for a condition. The one place where a test may let time pass.

use std::future::Future;
use std::time::{Duration, Instant};

/// Asks until the condition holds; fails the test, naming `what`, when it does not within `deadline`.
pub async fn eventually<F: Future<Output = bool>>(deadline: Duration, what: &str, mut holds: impl FnMut() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
