//! `troupe debug grow-log`: a session log of any size.

use crate::{
    args::ConfigArgs,
    errors::{CliError, CliResult},
    output, setup,
};
use std::process::ExitCode;

pub(crate) fn run(mb: u64, config: &ConfigArgs) -> CliResult {
    let cwd = setup::working_directory(None)?;
    let loaded = setup::read(config, &cwd, Vec::new())?;
    let dir = &loaded.places.sessions_dir;
    let settings = loaded
        .config
        .session_settings(&cwd, "grown", "grown", 5, &loaded.places)
        .map_err(|error| CliError::config(error.to_string()))?;
    let session = troupe::grow_log(dir, &settings, mb)
        .map_err(|error| CliError::storage(format!("{}: {error}", dir.display())))?;
    output::line(&session.to_string());
    Ok(ExitCode::SUCCESS)
}
