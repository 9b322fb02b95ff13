//! When a transient failure is tried again.

use std::time::Duration;

use crate::spec::program::Retry;

/// The wait after `attempts` runs (≥ 1): exponential, capped, with equal jitter (half fixed, half random), so that
/// keys that failed together do not come back together. `fraction` is uniform in `0.0..1.0`.
pub fn delay(retry: &Retry, attempts: u32, fraction: f64) -> Duration {
    let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
    let full = (retry.first.as_secs_f64() * retry.factor.powi(exponent)).min(retry.max.as_secs_f64());
    Duration::from_secs_f64(full.max(0.0) * (0.5 + fraction.clamp(0.0, 1.0) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_with_equal_jitter() {
        let retry = Retry { attempts: 5, first: Duration::from_secs(5), factor: 4.0, max: Duration::from_secs(60) };
        let seconds = |attempts, fraction| delay(&retry, attempts, fraction).as_secs_f64();
        assert_eq!([seconds(1, 0.0), seconds(1, 1.0)], [2.5, 5.0]);
        assert_eq!([seconds(2, 0.0), seconds(2, 1.0)], [10.0, 20.0]);
        assert_eq!([seconds(3, 1.0), seconds(900, 1.0)], [60.0, 60.0]);
    }
}
