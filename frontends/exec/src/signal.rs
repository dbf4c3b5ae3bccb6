//! Signals, as the driver is told of them.

use tokio::sync::watch;

/// The signals that have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signals {
    /// The number of the last one.
    pub number: i32,
    /// How many there were: the second means "at once".
    pub count: u32,
}

impl Signals {
    /// The exit code of a process that ends by the signal (POSIX shells' convention).
    #[must_use]
    pub fn code(self) -> u8 {
        u8::try_from(128 + self.number).unwrap_or(255)
    }

    /// What is said of it.
    #[must_use]
    pub fn message(self) -> String {
        format!("interrupted by signal {}", self.number)
    }
}

/// Waits for the `count`th signal.
pub async fn signalled(signals: &mut watch::Receiver<Option<Signals>>, count: u32) -> Signals {
    let came = |signals: &Option<Signals>| signals.is_some_and(|signals| signals.count >= count);
    match signals.wait_for(came).await.map(|signals| *signals) {
        Ok(Some(signals)) => signals,
        // Nobody listens to signals.
        Ok(None) | Err(_) => std::future::pending().await,
    }
}
