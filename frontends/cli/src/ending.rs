//! Every end that is an error goes through here: what is said, in which form, and what has to be
//! done for the caller before the process goes.

use crate::{
    args::{Cli, Command},
    errors::CliError,
    hints, output, signals,
};
use std::{process::ExitCode, time::Duration};
use troupe_exec::{JsonEvents, StandardInput, signalled};

/// How long a caller has to write what it writes before it listens.
const CALLER: Duration = Duration::from_secs(5);

/// How long it has once a signal has come.
const CALLER_IN_A_HURRY: Duration = Duration::from_millis(500);

/// How the end of a command is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Standard input may be the prompt: the caller may be writing it.
    reads_prompt: bool,
    /// The last line on standard output is a terminal event.
    json: bool,
    /// The caller knows of its own signals, and wants no event for them.
    sdk: bool,
}

impl Manner {
    /// That of a command line that can be used.
    pub(crate) fn of(cli: &Cli) -> Self {
        match &cli.command {
            Command::Exec(args) => {
                Self { reads_prompt: true, json: args.is_json(), sdk: args.experimental_json }
            }
            _ => Self::default(),
        }
    }

    /// That of one that cannot be used, from its words.
    fn of_words() -> Self {
        let mut manner = Self::default();
        for word in std::env::args_os().skip(1).take_while(|word| word != "--") {
            match word.to_str() {
                Some("exec" | "e") => manner.reads_prompt = true,
                Some("--json") => manner.json = true,
                Some("--experimental-json") => (manner.json, manner.sdk) = (true, true),
                _ => {}
            }
        }
        manner
    }

    /// Ends the process with this error.
    pub(crate) fn end(self, error: &CliError, input: &StandardInput) -> ExitCode {
        output::error(&format!("error: {}", error.message()));
        let signalled = matches!(error, CliError::Signalled(_));
        self.last_line(&error.message(), signalled, input);
        ExitCode::from(error.code())
    }

    /// The caller can write to its end first: one that writes its whole prompt before it listens
    /// would die of a pipe that is closed. Then it gets its last line.
    fn last_line(self, message: &str, signal_came: bool, input: &StandardInput) {
        if self.reads_prompt {
            drain(input, if signal_came { CALLER_IN_A_HURRY } else { CALLER });
        }
        if self.json && !(self.sdk && signal_came) {
            output::line(&JsonEvents::failed(message).to_string());
        }
    }
}

/// Takes what the caller still writes. A signal shortens the waiting.
fn drain(input: &StandardInput, patience: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Without a runtime there is no machine left to wait on.
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let mut signals = signals::listen();
        tokio::select! {
            () = input.drain(patience) => {}
            _ = signalled(&mut signals, 1) => input.drain(CALLER_IN_A_HURRY).await,
        }
    });
    runtime.shutdown_background();
}

/// The command line cannot be used.
pub(crate) fn refused(error: &clap::Error, input: &StandardInput) -> ExitCode {
    let own = hints::own_text(error);
    match &own {
        Some(text) => output::error(text.trim_end()),
        None => drop(error.print()),
    }
    let text = own.unwrap_or_else(|| error.to_string());
    Manner::of_words().last_line(text.trim_end(), false, input);
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
