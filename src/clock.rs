//! Time, ids and randomness, injected: nothing else in the crate asks the system for them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Millis;

/// The wall clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> Millis;
}

/// Fresh identifiers and jitter.
pub trait Entropy: Send + Sync {
    /// Sixteen bytes that nobody else has.
    fn fresh(&self) -> [u8; 16];

    /// Uniform in `0.0..1.0`.
    fn fraction(&self) -> f64 {
        let bytes = self.fresh();
        let head = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        f64::from(head) / (f64::from(u32::MAX) + 1.0)
    }
}

pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
    fn now(&self) -> Millis {
        Millis(jiff::Timestamp::now().as_millisecond())
    }
}

pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for randomness")]
    fn fresh(&self) -> [u8; 16] {
        *uuid::Uuid::new_v4().as_bytes()
    }
}

/// Entropy from a seed (SplitMix64), for tests: the same seed gives the same ids.
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fresh(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.next().to_be_bytes());
        out[8..].copy_from_slice(&self.next().to_be_bytes());
        out
    }
}
