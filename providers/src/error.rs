//! How an attempt fails, and whether another one may help.
//!
//! Retrying is the caller's: an attempt never repeats itself, so there is one retry layer and one
//! budget.

use std::{
    hash::{BuildHasher, Hasher},
    time::Duration,
};
use troupe_types::Endpoint;
use troupe_types::{ErrorClass, Failure};

/// Whether another attempt may help, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail in the same way.
    Never,
    /// After [`backoff`].
    Backoff,
    /// After [`backoff`], but the failure looks like one that stays: so many more attempts at most,
    /// while it stays the same.
    Doubtful {
        /// How many.
        most: u32,
    },
    /// After the time the server named, which may be as long as it likes.
    After(Duration),
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub struct ModelError {
    /// What happened and what helps. Holds no secret.
    pub failure: Failure,
    /// Whether another attempt may help.
    pub retry: Retry,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
}

impl ModelError {
    pub(crate) fn new(class: ErrorClass, retry: Retry, message: impl Into<String>) -> Self {
        Self { failure: Failure { class, message: message.into() }, retry, status: None }
    }

    pub(crate) fn never(class: ErrorClass, message: impl Into<String>) -> Self {
        Self::new(class, Retry::Never, message)
    }

    pub(crate) fn backoff(class: ErrorClass, message: impl Into<String>) -> Self {
        Self::new(class, Retry::Backoff, message)
    }

    /// The answer ended before it was complete.
    pub(crate) fn cut(endpoint: &Endpoint, cause: Option<&str>) -> Self {
        let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
        Self::backoff(
            ErrorClass::Network,
            format!("{}: stream ended before the answer was complete{cause}", endpoint.name),
        )
    }
}

/// Why an endpoint cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error(
        "`{url}` is not a usable URL: {cause}; set `{key}` (for instance http://127.0.0.1:8080/v1)"
    )]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        cause: String,
        /// The configuration key that sets it.
        key: String,
    },
    /// A header cannot be sent. The value is not shown.
    #[error("the header `{name}` of provider `{provider}` holds characters that cannot be sent")]
    Header {
        /// The provider's id.
        provider: String,
        /// The header's name.
        name: String,
    },
    /// The proxy cannot be used. Its URL may hold a password and is not shown.
    #[error(
        "cannot use the proxy that {variable} names: {cause}; set {variable} to a URL like http://host:3128 or socks5h://host:1080, or unset it"
    )]
    Proxy {
        /// The variable that names it.
        variable: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up HTTP: {cause}")]
    Client {
        /// Why.
        cause: String,
    },
    /// The file with certificate authorities cannot be used.
    #[error("cannot use the certificate authorities in {path}: {cause}")]
    Ca {
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
    /// The script cannot be played.
    #[error("cannot play the script {path}: {cause}")]
    Script {
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
}

/// The wait before attempt `attempt` + 1 (attempts count from 1): 200 ms · 2^(attempt − 1), times
/// 0.9 … 1.1, at most 30 s. `random` gives a number in 0 … 1; [`random`] is one.
pub fn backoff(attempt: u32, random: impl FnOnce() -> f64) -> Duration {
    let doubled = 200.0 * 2f64.powi(attempt.clamp(1, 16) as i32 - 1);
    let jitter = 0.9 + 0.2 * random().clamp(0.0, 1.0);
    Duration::from_secs_f64((doubled * jitter / 1000.0).min(30.0))
}

/// A number in 0 … 1 that spreads retries; not for secrets.
#[must_use]
pub fn random() -> f64 {
    // Every `RandomState` has fresh keys, so its empty hash is a random number.
    let bits = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
