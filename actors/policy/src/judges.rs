//! The threads that judge.
//!
//! Questions wait in one queue; a thread that is free takes the first whose call is not being judged,
//! so the questions of one call keep their order and nothing else waits for them. A thread that stays
//! keeps its parser, which takes longer to make than most commands take to judge. Every question is
//! answered once, at the latest when it is dropped. One that takes too long is given up by the role;
//! its thread is replaced, and ends when it comes back.

use crate::{Case, Pipeline};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use troupe_kit::Mailbox;
use troupe_messages::{Judged, ToolMessage, Verdict};
use troupe_types::CallId;

/// The most questions that are judged at once.
const MOST_THREADS: usize = 8;
/// The most hanging threads that are replaced. Beyond that questions wait, and are refused.
const MOST_HANGING: usize = 32;
/// The number of threads that stay while there is nothing to judge.
const KEPT: usize = 2;

/// The way back to the tool exec that asked. The first answer counts.
pub(crate) struct Asker {
    call: CallId,
    tool: Mailbox<ToolMessage>,
    answered: AtomicBool,
}

impl Asker {
    pub(crate) fn new(call: CallId, tool: Mailbox<ToolMessage>) -> Arc<Self> {
        Arc::new(Self { call, tool, answered: AtomicBool::new(false) })
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    fn answer(&self, judged: Judged) {
        if !self.answered.swap(true, Ordering::AcqRel) {
            // A tool exec that is gone needs no answer.
            let _gone = self.tool.tell(ToolMessage::Judged(judged));
        }
    }

    fn refuse(&self, why: &str) {
        let verdict = Verdict::Deny(format!("refused: {why}, which counts as a no"));
        self.answer(Judged { verdict, read_only: false });
    }
}

/// A question for the threads.
pub(crate) struct Job {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) case: Case,
    pub(crate) asker: Arc<Asker>,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.asker.refuse("the policy failed on this action");
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// Questions that are being judged.
    in_hand: Vec<Arc<Asker>>,
    /// Threads that judge or wait for something to judge.
    threads: usize,
    /// Those of them that wait.
    idle: usize,
    /// Threads whose question was given up, and that have not come back.
    hanging: usize,
    /// The role has ended: what waits is judged, then the threads end.
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

/// Hands questions to the threads. When it is dropped, they end once nothing waits any more.
#[derive(Default)]
pub(crate) struct Judges(Arc<Shared>);

impl Drop for Judges {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.more.notify_all();
    }
}

/// Hands one question over, when the handler that ordered it has returned.
pub(crate) struct Desk(Arc<Shared>);

impl Judges {
    pub(crate) fn desk(&self) -> Desk {
        Desk(Arc::clone(&self.0))
    }

    /// Refuses a question that took too long. Whatever its thread is busy with, the next questions are
    /// another thread's.
    pub(crate) fn give_up(&self, asker: &Arc<Asker>) {
        asker.refuse("the policy took too long");
        let mut queue = self.0.queue();
        let place = queue.waiting.iter().position(|job| Arc::ptr_eq(&job.asker, asker));
        let given_up = place.and_then(|place| queue.waiting.remove(place));
        if given_up.is_none() && queue.hanging < MOST_HANGING {
            let place = queue.in_hand.iter().position(|one| Arc::ptr_eq(one, asker));
            if let Some(place) = place {
                queue.in_hand.swap_remove(place);
                queue.hanging += 1;
                queue.threads -= 1;
            }
        }
        self.0.staff(queue);
    }
}

impl Desk {
    pub(crate) fn ask(self, job: Job) {
        let mut queue = self.0.queue();
        queue.waiting.push_back(job);
        self.0.staff(queue);
    }
}

impl Shared {
    /// What this lock guards is changed in one step.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that somebody takes what waits.
    fn staff(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        let free = queue.waiting.iter().filter(|job| queue.is_free(job)).count();
        if free > 0 && queue.idle > 0 {
            self.more.notify_one();
        }
        // A thread that was told already counts as idle until it runs.
        if free <= queue.idle || queue.threads >= MOST_THREADS {
            return;
        }
        queue.threads += 1;
        drop(queue);
        let shared = Arc::clone(self);
        let started =
            thread::Builder::new().name("troupe-policy".to_owned()).spawn(move || shared.work());
        if let Err(error) = started {
            let mut queue = self.queue();
            queue.threads -= 1;
            // With no thread at all nobody would answer.
            let unjudged = match queue.threads {
                0 => std::mem::take(&mut queue.waiting),
                _ => VecDeque::new(),
            };
            drop(queue);
            for job in unjudged {
                job.asker.refuse(&format!("the policy could not start ({error})"));
            }
        }
    }

    /// Judges until there is nothing more to judge.
    fn work(&self) {
        while let Some(job) = self.take() {
            let judge = || job.pipeline.judge(&job.case).judged();
            match catch_unwind(AssertUnwindSafe(judge)) {
                Ok(judged) => job.asker.answer(judged),
                // Dropped, it is refused.
                Err(_) => tracing::error!("judging panicked"),
            }
            let asker = Arc::clone(&job.asker);
            drop(job);
            if !self.hand_back(&asker) {
                return;
            }
        }
    }

    /// Whether the thread is to go on.
    fn hand_back(&self, asker: &Arc<Asker>) -> bool {
        let mut queue = self.queue();
        let place = queue.in_hand.iter().position(|one| Arc::ptr_eq(one, asker));
        let Some(place) = place else {
            // It was given up and this thread replaced.
            queue.hanging -= 1;
            return false;
        };
        queue.in_hand.swap_remove(place);
        true
    }

    /// The next question; none when the thread is to end.
    fn take(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(place) = queue.next() {
                let job = queue.waiting.remove(place);
                queue.in_hand.extend(job.iter().map(|job| Arc::clone(&job.asker)));
                return job;
            }
            // A question that waits for an earlier one of its call is taken by the thread that has that.
            if queue.closed || queue.idle >= KEPT {
                queue.threads -= 1;
                return None;
            }
            queue.idle += 1;
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

impl Queue {
    /// Whether no other question of its call is being judged.
    fn is_free(&self, job: &Job) -> bool {
        self.in_hand.iter().all(|one| one.call != job.asker.call)
    }

    /// Where the first question stands that may be judged.
    fn next(&self) -> Option<usize> {
        self.waiting.iter().position(|job| self.is_free(job))
    }
}
