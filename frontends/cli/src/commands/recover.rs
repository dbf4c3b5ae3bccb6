//! `troupe recover`: patches that a crash interrupted are taken back.

use crate::{
    args::ConfigArgs,
    errors::{CliError, CliResult},
    output, setup,
};
use serde_json::json;
use std::process::ExitCode;
use troupe_patch::{Recovered, journals, recover};
use troupe_types::ErrorClass;

pub(crate) fn run(config: &ConfigArgs, as_json: bool) -> CliResult {
    let places = setup::places(config)?;
    let found = recover(&journals(Some(&places.sessions_dir)));
    for one in &found {
        if as_json {
            output::line(&to_json(one).to_string());
        } else {
            output::line(&text(one));
        }
    }
    if found.is_empty() && !as_json {
        output::line("no patch was interrupted");
    }
    let class = ErrorClass::Storage;
    let unclear = found
        .iter()
        .any(|one| matches!(one, Recovered::Conflict { .. } | Recovered::Failed { .. }));
    if unclear {
        let message = "not everything could be undone: see above".to_owned();
        return Err(CliError::Failed(troupe_types::Failure { class, message }));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error what was found, but for what needed nothing.
pub(crate) fn tell(found: &[Recovered]) {
    for one in found.iter().filter(|one| **one != Recovered::Cleared) {
        output::warning(&text(one));
    }
}

fn list(paths: &[std::path::PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn text(one: &Recovered) -> String {
    match one {
        Recovered::TakenBack { paths } => {
            format!("a crash interrupted a patch; it was undone in these files: {}", list(paths))
        }
        Recovered::Cleared => {
            "a crash interrupted a patch, and nothing had to be undone".to_owned()
        }
        Recovered::Conflict { paths, kept } => format!(
            "a crash interrupted a patch. These files were changed since and are left as they are: \
             {}. Their content before the patch is in {}",
            list(paths),
            kept.display()
        ),
        Recovered::Failed { journal, why } => {
            format!(
                "a crash interrupted a patch, and it cannot be undone ({}): {why}",
                journal.display()
            )
        }
    }
}

fn to_json(one: &Recovered) -> serde_json::Value {
    match one {
        Recovered::TakenBack { paths } => json!({ "outcome": "taken_back", "paths": paths }),
        Recovered::Cleared => json!({ "outcome": "cleared" }),
        Recovered::Conflict { paths, kept } => {
            json!({ "outcome": "conflict", "paths": paths, "kept": kept })
        }
        Recovered::Failed { journal, why } => {
            json!({ "outcome": "failed", "journal": journal, "why": why })
        }
    }
}
