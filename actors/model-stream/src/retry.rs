//! Whether a failed attempt is followed by another, and after which wait: a decision without clock
//! or network.

#[cfg(test)]
mod tests;

use std::time::Duration;
use troupe_providers::{ModelError, Retry, backoff};
use troupe_types::{ErrorClass, Failure, Span};

/// What follows a failed attempt.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Another one, after this wait.
    Wait(Duration),
    /// None.
    GiveUp(Failure),
}

/// What the turn allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Retries before this request.
    pub(crate) used: u32,
    /// Retries in all.
    pub(crate) most: u32,
    /// The longest wait.
    pub(crate) longest: Duration,
}

/// The failures of one request so far.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Attempts of this request that failed and were followed by another.
    pub(crate) retries: u32,
    last: Option<ModelError>,
    /// How often the last one came again, one after the other.
    repeated: u32,
}

impl Failures {
    /// Takes one more failure and decides. `random` gives a number in 0 … 1.
    pub(crate) fn next(
        &mut self,
        error: ModelError,
        limits: Limits,
        random: impl FnOnce() -> f64,
    ) -> Next {
        self.repeated = if self.last.as_ref() == Some(&error) { self.repeated + 1 } else { 0 };
        let used = limits.used + self.retries;
        let named = match error.retry {
            Retry::After(wait) => Some(wait),
            Retry::Never | Retry::Backoff | Retry::Doubtful { .. } => None,
        };
        if let Some(wait) = named.filter(|wait| *wait > limits.longest) {
            return Next::GiveUp(too_long(&error, wait, limits.longest));
        }
        let stays = match error.retry {
            Retry::Never => return Next::GiveUp(error.failure),
            Retry::Doubtful { most } => self.repeated >= most,
            Retry::Backoff | Retry::After(_) => false,
        };
        if stays || used >= limits.most {
            return Next::GiveUp(given_up(error.failure, self.retries));
        }
        self.retries += 1;
        self.last = Some(error);
        // A wait of nothing, or a date that has passed, names no time.
        let wait = named.filter(|wait| !wait.is_zero());
        Next::Wait(wait.unwrap_or_else(|| backoff(used + 1, random).min(limits.longest)))
    }
}

fn given_up(failure: Failure, retries: u32) -> Failure {
    match retries {
        0 => failure,
        1 => Failure { message: format!("{failure} (given up after 1 retry)"), ..failure },
        more => {
            Failure { message: format!("{failure} (given up after {more} retries)"), ..failure }
        }
    }
}

fn too_long(error: &ModelError, wait: Duration, most: Duration) -> Failure {
    let (wait, most) = (Span(wait), Span(most));
    Failure {
        class: ErrorClass::RateLimit,
        message: format!(
            "{}; the server asks to wait {wait}, and `max_retry_wait_ms` allows {most}: try again \
             later",
            error.failure
        ),
    }
}
