//! The thread that judges: one for the role's life, replaced when it hangs.
//!
//! Judging is a part of the handler, so that a crash loses no question; but a stage that hangs must not
//! keep others from their answers. A thread that stays keeps its parser, which takes longer to make than
//! most commands take to judge.

use crate::{Case, Pipeline};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    time::Duration,
};
use troupe_messages::{Judged, Verdict};

struct Job {
    pipeline: Arc<Pipeline>,
    case: Case,
    answer: SyncSender<Judged>,
}

/// Hands cases to the thread.
#[derive(Default)]
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
}

impl Worker {
    /// Judges a case; a no if that takes too long or fails.
    pub(crate) fn judge(
        &mut self,
        pipeline: &Arc<Pipeline>,
        case: &Case,
        patience: Duration,
    ) -> Judged {
        let refused = |why: &str| {
            let verdict = Verdict::Deny(format!("refused: {why}, which counts as a no"));
            Judged { verdict, read_only: false }
        };
        let answered = match self.hand_over(pipeline, case) {
            Ok(answered) => answered,
            Err(error) => return refused(&format!("the policy could not start ({error})")),
        };
        match answered.recv_timeout(patience) {
            Ok(judged) => judged,
            Err(RecvTimeoutError::Timeout) => {
                // Whatever it is busy with, the next case is another thread's.
                self.jobs = None;
                refused("the policy took too long")
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.jobs = None;
                refused("the policy failed on this action")
            }
        }
    }

    fn hand_over(
        &mut self,
        pipeline: &Arc<Pipeline>,
        case: &Case,
    ) -> std::io::Result<Receiver<Judged>> {
        let (answer, answered) = sync_channel(1);
        let mut job = Job { pipeline: Arc::clone(pipeline), case: case.clone(), answer };
        if let Some(jobs) = &self.jobs {
            match jobs.send(job) {
                Ok(()) => return Ok(answered),
                // It has ended.
                Err(refused) => job = refused.0,
            }
        }
        let (jobs, waiting) = channel();
        std::thread::Builder::new()
            .name("troupe-policy".to_owned())
            .spawn(move || work(&waiting))?;
        // It was started just now, and lives as long as this end.
        let _sent = jobs.send(job);
        self.jobs = Some(jobs);
        Ok(answered)
    }
}

fn work(waiting: &Receiver<Job>) {
    for Job { pipeline, case, answer } in waiting {
        // Nobody waits any more: it took too long.
        let _late = answer.send(pipeline.judge(&case).judged());
    }
}
