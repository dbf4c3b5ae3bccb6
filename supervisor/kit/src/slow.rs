//! How long handlers take. One that takes more than [`SLOW`] is warned about; one that waited so long
//! ends a debug build at once, so that no test passes with it.
//!
//! A busy machine takes the processor away from a handler for as long as it likes. So only time counts
//! as waited in which the thread neither ran nor wanted to, which Linux tells of each thread.

use crate::watchdog::FirstWord;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// A handler that takes longer holds up everybody else on its thread.
const SLOW: Duration = Duration::from_millis(50);

/// Measures one handler.
pub(crate) struct Stopwatch {
    began: Instant,
    scheduled: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), scheduled: scheduled() }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Warns of a handler that was slow. `strict`: one that waited ends a debug build.
    pub(crate) fn stop(self, role: &str, message: &dyn fmt::Debug, strict: bool) -> Duration {
        let took = self.began.elapsed();
        if took >= SLOW {
            let waited = waited(took, self.scheduled, scheduled());
            report(role, message, took, waited, strict);
        }
        took
    }
}

/// The time in which a thread neither ran nor wanted to, if it is known (to about 10 ms).
fn waited(took: Duration, before: Option<Duration>, after: Option<Duration>) -> Option<Duration> {
    // Where the kernel does not count, everything would look like waiting.
    let after = after.filter(|after| !after.is_zero());
    Some(took.saturating_sub(after?.saturating_sub(before?)))
}

#[cold]
fn report(
    role: &str,
    message: &dyn fmt::Debug,
    took: Duration,
    waited: Option<Duration>,
    strict: bool,
) {
    let message = FirstWord::of(message);
    tracing::warn!(role, message, ?took, ?waited, "a handler was slow: it holds up all others");
    if cfg!(debug_assertions) && strict && waited.is_some_and(|waited| waited >= SLOW) {
        let text = format!("{role} waited in its handler of {message}: {waited:?} of {took:?}\n");
        let _gone = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        std::process::abort();
    }
}

/// For how long this thread ran or wanted to run so far. Costs a system call, so only debug builds
/// ask for it.
#[cfg(all(debug_assertions, target_os = "linux"))]
fn scheduled() -> Option<Duration> {
    use std::{fs::File, os::unix::fs::FileExt};
    thread_local! {
        static STATS: Option<File> = File::open("/proc/thread-self/schedstat").ok();
    }
    let mut bytes = [0; 64];
    let count = STATS.with(|stats| stats.as_ref()?.read_at(&mut bytes, 0).ok())?;
    let text = std::str::from_utf8(&bytes[..count]).ok()?;
    // Nanoseconds on a processor, nanoseconds in wait of one, time slices.
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let (ran, wanted) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Duration::from_nanos(ran + wanted))
}

#[cfg(not(all(debug_assertions, target_os = "linux")))]
fn scheduled() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_did_itself_is_no_waiting() {
        let ms = Duration::from_millis;
        assert_eq!(waited(ms(80), Some(ms(10)), Some(ms(85))), Some(ms(5)));
        assert_eq!(waited(ms(80), Some(ms(10)), Some(ms(12))), Some(ms(78)));
        assert_eq!(waited(ms(80), None, Some(ms(12))), None);
        assert_eq!(waited(ms(80), Some(ms(0)), Some(ms(0))), None);
    }

    #[cfg(all(debug_assertions, target_os = "linux"))]
    #[test]
    fn a_wait_is_told_from_work() {
        let before = scheduled().unwrap();
        let began = Instant::now();
        std::thread::park_timeout(Duration::from_millis(60));
        let idle = waited(began.elapsed(), Some(before), scheduled()).unwrap();
        assert!(idle >= Duration::from_millis(50), "{idle:?}");
        let before = scheduled().unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        let busy = waited(began.elapsed(), Some(before), scheduled()).unwrap();
        assert!(busy < Duration::from_millis(30), "{busy:?}");
    }
}
