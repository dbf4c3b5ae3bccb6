//! Exponential backoff with jitter.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// How long to wait before an attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Before the first repeated attempt; zero means at once.
    pub first: Duration,
    /// By how much each wait is longer than the one before.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// Waits are spread evenly by this share to both sides (0.1: from 0.9 to 1.1).
    pub jitter: f64,
}

impl Backoff {
    /// The kit's default: at once, then 10 ms doubling up to 5 s, spread by a tenth.
    pub const DEFAULT: Self = Self {
        first: Duration::from_millis(10),
        factor: 2.0,
        max: Duration::from_secs(5),
        jitter: 0.1,
    };

    /// The wait before repeated attempt `n` (from 1).
    #[must_use]
    pub fn wait(&self, n: u32) -> Duration {
        if self.first.is_zero() {
            return Duration::ZERO;
        }
        let plain = self.first.as_secs_f64() * self.factor.powi(i32::try_from(n).unwrap_or(64) - 1);
        let spread = 1.0 + self.jitter * (2.0 * random_share() - 1.0);
        let wait = plain.min(self.max.as_secs_f64()) * spread.max(0.0);
        Duration::try_from_secs_f64(wait).unwrap_or(self.max)
    }
}

/// A number in [0, 1): the standard library seeds its hashers at random.
fn random_share() -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "53 bits are kept")]
    let share = (RandomState::new().build_hasher().finish() >> 11) as f64;
    share / (1u64 << 53) as f64
}
