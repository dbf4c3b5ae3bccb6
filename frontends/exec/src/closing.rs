//! What there is to say when a run is over: what it could not do and what allows it, what ends with
//! it, how to go on. It follows from the records alone.

use crate::text::script;
use std::collections::BTreeMap;
use troupe_types::{CallDetail, CallFinished, CallId, CommandEnd, ErrorClass, Outcome, Record};

/// How a session is taken up again from a shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoingOn {
    /// The command, up to where a prompt would stand. None if the session is not kept.
    pub command: Option<String>,
}

/// Gathers the facts of a run.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    /// Nothing may be written in this run.
    read_only: bool,
    /// Something was to be written, and that was refused.
    refused: bool,
    /// Something was written all the same.
    changed: bool,
    /// Processes in the background: their numbers and commands.
    background: BTreeMap<CallId, (u64, String)>,
}

impl Closing {
    pub(crate) fn new(read_only: bool) -> Self {
        Self { read_only, ..Self::default() }
    }

    /// Takes one more record.
    pub(crate) fn on(&mut self, record: &Record) {
        match record {
            Record::CallFinished(body) => self.on_call(body),
            Record::ProcessEnded(body) => drop(self.background.remove(&body.call)),
            _ => {}
        }
    }

    fn on_call(&mut self, body: &CallFinished) {
        let denied =
            matches!(&body.outcome, Outcome::Failed(why) if why.class == ErrorClass::Denied);
        let command = body.result.command();
        self.refused |= command.is_some_and(|result| result.read_only);
        match &body.detail {
            Some(CallDetail::Patch { .. }) if denied => self.refused = true,
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
        if self.read_only && self.refused {
            let what =
                if self.changed { "not everything was changed" } else { "nothing was changed" };
            remarks.push(format!(
                "{what}: the sandbox mode is read-only, so what was to be written was refused. To \
                 allow changes in the working directory: troupe exec -s workspace-write, or \
                 sandbox_mode = \"workspace-write\" in the configuration"
            ));
        }
        remarks
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
