//! Faults of the writer, for tests and demonstrations.

use std::{io, sync::Arc};

/// A step of writing a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogPoint {
    /// Before it is in the file.
    BeforeWrite,
    /// In the file; nobody knows yet.
    AfterWrite,
    /// Published; nobody has been told yet.
    AfterPublish,
    /// Before the file is synced.
    BeforeSync,
    /// Before the bytes of a failed write are cut off.
    BeforeCut,
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookAction {
    /// It goes on.
    Go,
    /// The process is aborted.
    Abort,
    /// The step fails (writing and syncing only).
    Fail(io::ErrorKind),
}

/// Asked at each step of each line. Called on the writer's thread.
pub trait LogHook: Send + Sync {
    /// What happens at this step of line `seq`.
    fn at(&self, point: LogPoint, seq: u64) -> HookAction;
}

/// Asks the hook, if there is one.
pub(crate) fn pass(
    hook: Option<&Arc<dyn LogHook>>,
    point: LogPoint,
    seq: u64,
) -> Result<(), io::Error> {
    match hook.map_or(HookAction::Go, |hook| hook.at(point, seq)) {
        HookAction::Go => Ok(()),
        HookAction::Abort => std::process::abort(),
        HookAction::Fail(kind) => Err(kind.into()),
    }
}
