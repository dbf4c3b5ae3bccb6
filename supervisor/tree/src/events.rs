//! Events: durable ones read from the log, with progress between them.

use crate::session::Session;
use std::sync::Arc;
use tokio::sync::watch;
use troupe_kit::{Next, RingReader};
use troupe_recorder::{Followed, Follower};
use troupe_types::{ErrorClass, Event, Failure, Progress};

/// What happens in a session: an unbroken sequence of durable events, with progress between them.
///
/// It reads the log up to what is published, so it survives restarts of everything behind it, may
/// start late, and may fall behind without costing memory; progress that it misses is skipped.
pub struct Events {
    follower: Follower,
    progress: Option<RingReader<Progress>>,
    rests: watch::Receiver<Option<Failure>>,
    ended: watch::Receiver<Option<Option<String>>>,
    over: bool,
    // Keeps the sender of `ended` alive.
    _session: Arc<Session>,
}

impl Events {
    pub(crate) fn new(session: &Arc<Session>, seq: u64) -> Self {
        let mut rests = session.rests.subscribe();
        // Also one that was told before.
        rests.mark_changed();
        Self {
            rests,
            follower: Follower::new(session.path.clone(), session.published.subscribe(), seq),
            progress: Some(session.progress.subscribe()),
            ended: session.ended.subscribe(),
            over: false,
            _session: Arc::clone(session),
        }
    }

    /// The next event, waiting for it; `None` after [`Event::Closed`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        let reason = loop {
            tokio::select! {
                biased;
                followed = self.follower.next() => match followed {
                    Followed::Line { line, .. } => return Some(Event::Durable(line)),
                    Followed::Skipped { offset, reason } => {
                        return Some(Event::Skipped { offset, reason });
                    }
                    Followed::Fault(fault) => {
                        let failure = Failure { class: ErrorClass::Storage, message: fault.message };
                        return Some(Event::StorageFailed(failure));
                    }
                    Followed::Closed => break None,
                },
                next = next_progress(&mut self.progress) => match next {
                    Next::Item(progress) => return Some(Event::Progress(progress)),
                    Next::Missed(_) => {}
                    Next::Closed => self.progress = None,
                },
                Some(failure) = next_rest(&mut self.rests), if self.follower.is_level() => {
                    return Some(Event::Halted(failure));
                }
                ended = self.ended.wait_for(Option::is_some), if self.follower.is_level() => {
                    break ended.ok().and_then(|reason| reason.clone()).flatten();
                }
            }
        };
        self.over = true;
        Some(Event::Closed { reason })
    }
}

/// Why nothing runs any more, each time that is so; none where nobody tells.
async fn next_rest(rests: &mut watch::Receiver<Option<Failure>>) -> Option<Failure> {
    loop {
        rests.changed().await.ok()?;
        if let Some(failure) = rests.borrow_and_update().clone() {
            return Some(failure);
        }
    }
}

async fn next_progress(progress: &mut Option<RingReader<Progress>>) -> Next<Progress> {
    match progress {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}
