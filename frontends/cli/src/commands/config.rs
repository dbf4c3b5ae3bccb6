//! `troupe config`: what is in force, and everything there is.

use crate::{args::ConfigArgs, errors::CliResult, output, setup};
use std::process::ExitCode;

pub(crate) fn show(args: &ConfigArgs, json: bool, all: bool) -> CliResult {
    let cwd = setup::working_directory(None)?;
    let loaded = setup::read(args, &cwd, Vec::new())?;
    setup::warn(&loaded);
    if json {
        output::line(&troupe_config::show_json(&loaded).to_string());
    } else {
        output::text(&troupe_config::show(&loaded, all));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn reference() -> ExitCode {
    output::text(&troupe_config::reference());
    ExitCode::SUCCESS
}
