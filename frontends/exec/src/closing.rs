//! What there is to say when a run is over: what it could not do and what allows it, what ends with
//! it, how to go on. It follows from the records alone.

use crate::text::script;
use std::collections::BTreeMap;
use troupe_types::{CallDetail, CallFinished, CallId, CommandEnd, NotWritten, Record};

/// The shell command that resumes a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoingOn {
    /// The command, up to where a prompt would stand. None if the session is not kept.
    pub command: Option<String>,
}

/// Gathers the facts of a run.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    /// Why something that was to be written was refused; what a mode refuses goes first.
    refused: Option<NotWritten>,
    /// Something was written all the same.
    changed: bool,
    /// Processes in the background: their numbers and commands.
    background: BTreeMap<CallId, (u64, String)>,
}

impl Closing {
    /// Takes one more record.
    pub(crate) fn on(&mut self, record: &Record) {
        match record {
            Record::CallFinished(body) => self.on_call(body),
            Record::ProcessEnded(body) => drop(self.background.remove(&body.call)),
            _ => {}
        }
    }

    fn on_call(&mut self, body: &CallFinished) {
        let command = body.result.command();
        self.refused = self.refused.max(body.result.not_written());
        match &body.detail {
            Some(CallDetail::Patch { .. }) if body.outcome.is_completed() => self.changed = true,
            Some(CallDetail::Command { argv, outside, .. }) => {
                // Nobody knows what it did there.
                self.changed |= *outside;
                if let Some(CommandEnd::Running { process }) = command.map(|result| result.end) {
                    self.background.insert(body.call, (process, script(argv)));
                }
            }
            _ => {}
        }
    }

    /// What has to be known of the run, once it is over.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self
            .background
            .values()
            .map(|(process, command)| {
                let first = command.lines().next().unwrap_or_default();
                format!("background process {process} `{first}` is ended now, with the run")
            })
            .collect();
        remarks.extend(self.refused.map(|why| self.not_written(why)));
        remarks
    }

    fn not_written(&self, why: NotWritten) -> String {
        let what = if self.changed { "not everything was changed" } else { "nothing was changed" };
        match why {
            NotWritten::ReadOnly => format!(
                "{what}: the sandbox mode is read-only, so what was to be written was refused. To \
                 allow changes in the working directory: troupe exec -s workspace-write, or \
                 sandbox_mode = \"workspace-write\" in the configuration"
            ),
            // Commands may have changed other files, and nobody knows which.
            NotWritten::Outside => {
                "not everything was written: a file outside the working directory \
                 was refused. To allow its folder: troupe exec --add-dir DIR, or \
                 sandbox_workspace_write.writable_roots = [\"DIR\"] in the configuration"
                    .to_owned()
            }
        }
    }
}

impl GoingOn {
    /// The line that says how, if it can be.
    pub(crate) fn line(&self, completed: bool) -> Option<String> {
        let command = self.command.as_deref()?;
        Some(if completed {
            format!("to go on: {command} \"…\"")
        } else {
            format!("to go on where it stopped: {command}")
        })
    }
}
