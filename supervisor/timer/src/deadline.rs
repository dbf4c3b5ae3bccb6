//! A countdown on tokio's clock.

use crate::Countdown;
use std::{future::Future, pin::pin, time::Duration};
use tokio::time::{Instant, sleep_until};

/// The time was up before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time is up")]
pub struct TimedOut;

/// A deadline that counts the time in which this process could work. It runs while it is awaited:
/// no timer is armed otherwise.
#[derive(Debug)]
pub struct Deadline {
    countdown: Countdown,
    /// When the tick under way began.
    began: Instant,
}

impl Deadline {
    /// A deadline that begins now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { countdown: Countdown::new(limit), began: Instant::now() }
    }

    /// Waits for it to pass. Cancel-safe: the tick under way goes on with the next call.
    pub async fn passed(&mut self) {
        while !self.countdown.is_over() {
            sleep_until(self.began + self.countdown.tick()).await;
            let now = Instant::now();
            self.countdown.count(now - self.began);
            self.began = now;
        }
    }

    /// Does a piece of work until the deadline passes. Work that is ready wins.
    ///
    /// # Errors
    /// When the deadline passed first; the work is dropped then.
    pub async fn bound<F: Future>(&mut self, work: F) -> Result<F::Output, TimedOut> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => Ok(done),
            () = self.passed() => Err(TimedOut),
        }
    }
}

/// Does a piece of work within a limit. Work that is ready wins.
///
/// # Errors
/// When the limit passed first; the work is dropped then.
pub async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, TimedOut> {
    Deadline::after(limit).bound(work).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, task::Poll};
    use tokio::time::{advance, sleep};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_passes_when_its_limit_is_worked_off() {
        let began = Instant::now();
        assert_eq!(within(3 * SECOND, pending::<()>()).await, Err(TimedOut));
        assert!((3 * SECOND..4 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!(within(3 * SECOND, sleep(2 * SECOND)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_standstill_counts_one_tick() {
        let mut deadline = Deadline::after(2 * SECOND);
        for _ in 0..4 {
            advance(60 * SECOND).await;
            assert_eq!(deadline.bound(sleep(Duration::from_millis(1))).await, Ok(()));
        }
        let began = Instant::now();
        deadline.passed().await;
        assert!(began.elapsed() > SECOND / 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_and_taken_up_again_loses_nothing() {
        let mut deadline = Deadline::after(SECOND);
        let began = Instant::now();
        let mut rounds = 0;
        while deadline.bound(sleep(Duration::from_millis(10))).await.is_ok() {
            rounds += 1;
        }
        assert!(rounds < 101, "{rounds}");
        assert!(began.elapsed() <= SECOND + Duration::from_millis(20), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_needs_a_moment_after_a_standstill_gets_it() {
        let mut deadline = Deadline::after(SECOND);
        // All but the last tick is worked off; then the process stands still.
        assert_eq!(deadline.bound(sleep(Duration::from_millis(900))).await, Ok(()));
        let mut polls = 0;
        let late = std::future::poll_fn(|cx| {
            polls += 1;
            if polls == 20 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        advance(60 * SECOND).await;
        assert_eq!(deadline.bound(late).await, Ok(()));
    }
}
