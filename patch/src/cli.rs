//! The command `apply_patch [PATCH]`, with the patch as its one argument or on its input.
//!
//! Ends with 0 if the patch was applied, 1 if not, 2 if the command was called wrongly. Results
//! go to the output, errors to the error output, and the numbers are what scripts rely on.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;

use crate::{ApplyError, RealFileSystem, Summary, apply, apply_journaled, parse, plan};

const USAGE: &str = "Usage: apply_patch 'PATCH'\n       echo 'PATCH' | apply_patch";

/// A message for the error output and the number to end with.
struct Stop(String, i32);

/// Runs the command in `cwd` (absolute). `journals` is where what is broken off is noted; where it
/// cannot be written to (in a sandbox, say), the patch is applied without. `args` are those after the command's own name. Gives the
/// number for the process to end with.
pub fn run_cli(
    args: &[OsString],
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
    cwd: &Path,
    journals: Option<&Path>,
) -> i32 {
    let outcome = patch_text(args, stdin).and_then(|text| run(&text, cwd, journals));
    match outcome {
        Ok(summary) => match write!(stdout, "{summary}").and_then(|()| stdout.flush()) {
            Ok(()) => 0,
            Err(_) => 1,
        },
        Err(Stop(message, code)) => {
            // Where even the error output is gone, the number has to do.
            let _ = writeln!(stderr, "{message}").and_then(|()| stderr.flush());
            code
        }
    }
}

fn patch_text(args: &[OsString], stdin: &mut dyn Read) -> Result<String, Stop> {
    match args {
        [] => read_all(stdin),
        [patch] => patch.to_str().map(str::to_owned).ok_or_else(|| {
            Stop("Error: apply_patch requires a UTF-8 PATCH argument.".to_owned(), 1)
        }),
        _ => Err(Stop("Error: apply_patch accepts exactly one argument.".to_owned(), 2)),
    }
}

fn read_all(stdin: &mut dyn Read) -> Result<String, Stop> {
    let mut text = String::new();
    match stdin.read_to_string(&mut text) {
        Err(error) => Err(Stop(format!("Error: Failed to read PATCH from stdin.\n{error}"), 1)),
        Ok(0) => Err(Stop(USAGE.to_owned(), 2)),
        Ok(_) => Ok(text),
    }
}

fn run(text: &str, cwd: &Path, journals: Option<&Path>) -> Result<Summary, Stop> {
    let patch = parse(text).map_err(|error| Stop(error.to_string(), 1))?;
    let plan = plan(&patch, cwd, &RealFileSystem).map_err(|error| Stop(error.to_string(), 1))?;
    let failed = |error: ApplyError| Stop(error.to_string(), 1);
    if let Some(folder) = journals {
        match apply_journaled(&plan, &RealFileSystem, folder) {
            Err(ApplyError::Journal { .. }) => {}
            applied => return applied.map_err(failed),
        }
    }
    apply(&plan, &RealFileSystem).map_err(failed)
}
