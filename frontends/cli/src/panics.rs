//! Panics go to tracing, never to the screen: a supervisor deals with them.

use crate::errors::{CliError, CliResult};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Installs the hook. Short on purpose: a backtrace costs tens of milliseconds at the first panic.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("unknown panic");
        tracing::error!(thread = name, place, "panic: {what}");
    }));
}

/// Runs a command. A panic outside of every actor is an error like others: the run still ends with
/// its last line.
pub(crate) fn caught(run: impl FnOnce() -> CliResult) -> CliResult {
    // Nothing that it left behind is used after it.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(CliError::internal(
            "troupe itself failed (a panic outside of its actors); TROUPE_LOG=error shows where",
        ))
    })
}
