//! A running process: its end is awaited, its time is kept, its tree is ended.

use crate::{Args, finish, prepare::Shell, reading::Reading};
use std::time::Duration;
use tokio::{sync::watch, time::Instant};
use troupe_kit::Deadline;
use troupe_messages::{ProcessExit, Running};
use troupe_types::{CallDetail, CallFinished, CallResult, CommandEnd, CommandResult, Outcome};

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

impl Work {
    /// Reads until the process has ended or must end, and says how it was.
    pub(crate) async fn run(mut self, running: Running) -> CallFinished {
        let Running { output, notes, mut exit, kill, aftermath, .. } = running;
        let began = Instant::now();
        let limit_ms = self.shell.timeout_ms;
        let mut limit = Deadline::after(Duration::from_millis(limit_ms));
        let mut reading = Reading::new(&self.args, output, notes);
        let (end, ended_itself) = tokio::select! {
            biased;
            () = cancelled(&mut self.cancel) => (CommandEnd::Cancelled, false),
            end = &mut exit => (end_of(end.exit), true),
            () = limit.passed() => (CommandEnd::TimedOut { limit_ms }, false),
            never = reading.go_on() => match never {},
        };
        let wall = began.elapsed();
        // What a dead leader's children still print is waited for; then they are ended, and what is
        // in the pipes by then belongs to it as well.
        if ended_itself {
            reading.drain(Instant::now() + DRAIN).await;
        }
        let left = kill();
        self.wind_up(end, &mut reading).await;
        let (mut sandbox, mut not_written) = (reading.notes(), None);
        if ended_itself {
            let said = finish::remarks(aftermath, end.exit_code(), reading.output()).await;
            sandbox.extend(said.sentences);
            not_written = said.not_written;
        }
        let output = reading.output().printed(finish::tokens(&self.args.settings));
        self.finished(CommandResult {
            kept: reading.kept(true),
            strays: if ended_itself { left } else { 0 },
            sandbox,
            not_written,
            ..CommandResult::new(end, finish::millis(wall), output)
        })
    }

    /// Reads what is left, and has it written; only for a moment if the user has stopped it.
    async fn wind_up(&mut self, end: CommandEnd, reading: &mut Reading) {
        let now = Instant::now();
        if end == CommandEnd::Cancelled {
            reading.drain(now + DRAIN).await;
            return reading.end(DRAIN).await;
        }
        reading.drain(now + REST).await;
        tokio::select! {
            biased;
            () = cancelled(&mut self.cancel) => {}
            () = reading.end(KEEPING) => {}
        }
    }

    /// The end of the call.
    pub(crate) fn finished(&self, result: CommandResult) -> CallFinished {
        let outcome = outcome_of(result.end);
        let (argv, cwd) = (self.shell.argv.clone(), self.shell.cwd.clone());
        let detail = CallDetail::Command { argv, cwd, outside: self.outside };
        let result = CallResult::Command(Box::new(result));
        finish::finished(self.args.call.call, outcome, result, Some(detail), self.began)
    }
}

/// How a process ended by itself, or with who held it.
pub(crate) fn end_of(exit: ProcessExit) -> CommandEnd {
    match exit {
        ProcessExit::Code(code) => CommandEnd::Exited { code },
        ProcessExit::Signal(signal) => CommandEnd::Signalled { signal },
        ProcessExit::Lost => CommandEnd::Lost,
    }
}

fn outcome_of(end: CommandEnd) -> Outcome {
    match end {
        CommandEnd::Exited { .. } | CommandEnd::Signalled { .. } | CommandEnd::Running { .. } => {
            Outcome::Completed
        }
        CommandEnd::TimedOut { .. } => Outcome::TimedOut,
        CommandEnd::Cancelled => Outcome::Cancelled,
        CommandEnd::Lost => Outcome::Lost,
    }
}

/// Waits for the user to stop it. A sender that is gone went with the role, and this task with it.
pub(crate) async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    let _gone = cancel.wait_for(|cancelled| *cancelled).await;
}
