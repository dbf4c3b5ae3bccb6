//! A running process: its end is awaited, its time is kept, its tree is ended.

use crate::{
    Args,
    finish::{self, LOST},
    output::{CommandEnd, ShellReport, shell_text},
    prepare::Shell,
    reading::Reading,
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use troupe_messages::{ProcessExit, Running};
use troupe_types::{CallDetail, CallFinished, Outcome};

/// How long what a dead leader's children still print is waited for; and how long anything is once
/// the user has stopped it.
pub(crate) const DRAIN: Duration = Duration::from_millis(50);
/// How long the pipes of a tree that was ended are read: they end with it.
pub(crate) const REST: Duration = Duration::from_secs(1);
/// How long a slow disk is waited for at the end.
pub(crate) const KEEPING: Duration = Duration::from_secs(10);

/// What the reading task needs.
pub(crate) struct Work {
    pub(crate) args: Args,
    pub(crate) shell: Shell,
    /// When the start was recorded.
    pub(crate) began: Instant,
    pub(crate) cancel: watch::Receiver<bool>,
    /// Without the sandbox.
    pub(crate) outside: bool,
}

/// Why the process is not read any longer.
#[derive(Clone, Copy)]
enum End {
    Exited(ProcessExit),
    TimedOut,
    Cancelled,
}

impl End {
    fn exit_code(self) -> Option<i32> {
        match self {
            Self::Exited(ProcessExit::Code(code)) => Some(code),
            Self::Exited(ProcessExit::Signal(signal)) => Some(128 + signal),
            _ => None,
        }
    }
}

/// How the process was.
struct Outcomes {
    end: End,
    strays: u32,
    wall: Duration,
}

impl Work {
    /// Reads until the process has ended or must end, and says how it was.
    pub(crate) async fn run(mut self, running: Running) -> CallFinished {
        let Running { output, mut exit, kill, aftermath, .. } = running;
        let began = Instant::now();
        let limit = began + Duration::from_millis(self.shell.timeout_ms);
        let mut reading = Reading::new(&self.args, output);
        let end = tokio::select! {
            biased;
            () = cancelled(&mut self.cancel) => End::Cancelled,
            end = &mut exit => End::Exited(end.exit),
            () = sleep_until(limit) => End::TimedOut,
            never = reading.go_on() => match never {},
        };
        let wall = began.elapsed();
        let ended_itself = matches!(end, End::Exited(_));
        // What a dead leader's children still print is waited for; then they are ended, and what is
        // in the pipes by then belongs to it as well.
        if ended_itself {
            reading.drain(Instant::now() + DRAIN).await;
        }
        let left = kill();
        self.wind_up(end, &mut reading).await;
        let strays = if ended_itself { left } else { 0 };
        let mut finished = self.finish(&Outcomes { end, strays, wall }, &reading);
        if ended_itself {
            let code = end.exit_code();
            let remarks = finish::remarks(aftermath, code, reading.output()).await;
            finish::remark(&mut finished, &remarks);
        }
        finished
    }

    /// Reads what is left, and has it written; only for a moment if the user has stopped it.
    async fn wind_up(&mut self, end: End, reading: &mut Reading) {
        let now = Instant::now();
        if matches!(end, End::Cancelled) {
            reading.drain(now + DRAIN).await;
            return reading.end(now + DRAIN).await;
        }
        reading.drain(now + REST).await;
        tokio::select! {
            biased;
            () = cancelled(&mut self.cancel) => {}
            () = reading.end(now + KEEPING) => {}
        }
    }

    fn finish(&self, how: &Outcomes, reading: &Reading) -> CallFinished {
        let (call, tokens) = (self.args.call.call, finish::tokens(&self.args.settings));
        let (outcome, end) = match how.end {
            End::Exited(ProcessExit::Code(code)) => (Outcome::Completed, CommandEnd::Exited(code)),
            End::Exited(ProcessExit::Signal(signal)) => {
                (Outcome::Completed, CommandEnd::Exited(128 + signal))
            }
            End::Exited(ProcessExit::Lost) => {
                let mut text = LOST.to_owned();
                if !reading.output().is_empty() {
                    text.push_str("\nOutput so far:\n");
                    text.push_str(&reading.output().render(tokens).text);
                }
                let detail = Some(self.detail(None, 0));
                return finish::finished(call, Outcome::Lost, text, detail, self.began);
            }
            End::TimedOut => {
                (Outcome::TimedOut, CommandEnd::TimedOut { limit_ms: self.shell.timeout_ms })
            }
            End::Cancelled => (Outcome::Cancelled, CommandEnd::Cancelled),
        };
        let (output, kept) = (reading.output(), reading.kept());
        let report = ShellReport { end, wall: how.wall, strays: how.strays, output, kept };
        let detail = self.detail(end.exit_code(), how.strays);
        finish::finished(call, outcome, shell_text(&report, tokens), Some(detail), self.began)
    }

    fn detail(&self, exit_code: Option<i32>, strays: u32) -> CallDetail {
        let (argv, cwd) = (self.shell.argv.clone(), self.shell.cwd.clone());
        let outside = self.outside;
        CallDetail::Command { argv, cwd, exit_code, strays, outside, background: None }
    }
}

/// Waits for the user to stop it. A sender that is gone went with the role, and this task with it.
pub(crate) async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    let _gone = cancel.wait_for(|cancelled| *cancelled).await;
}
