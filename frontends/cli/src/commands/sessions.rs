//! `troupe sessions`: what there is, what happened in one, and removing them.

mod find;
mod remove;

pub(crate) use find::{find, which};

use crate::{
    args::{ColorArg, ConfigArgs, SessionsCommand},
    errors::{CliError, CliResult},
    output, setup,
};
use std::{path::Path, process::ExitCode};
use troupe::{
    LogPath, LogReader, ReplayLine, SessionSummary, ShortIds, list_sessions, session_ids,
    stored_bytes,
};
use troupe_exec::Listed;
use troupe_types::SessionId;

pub(crate) fn run(command: SessionsCommand, config: &ConfigArgs) -> CliResult {
    let dir = &setup::places(config)?.sessions_dir;
    match command {
        SessionsCommand::List { json, limit, here } => list(dir, json, limit, here),
        SessionsCommand::Show { which: named, json } => show(dir, which(dir, &named)?, json),
        SessionsCommand::Rm(args) => remove::named(dir, &args),
        SessionsCommand::Prune(args) => remove::prune(dir, &args),
    }
}

/// Why the folder of sessions, or a log in it, cannot be read.
fn failed(dir: &Path, error: &std::io::Error) -> CliError {
    CliError::storage(format!("{} cannot be read: {error}", dir.display()))
}

/// Sessions, the latest first, as they are listed.
fn listed(
    dir: &Path,
    limit: usize,
    wanted: impl Fn(&SessionSummary) -> bool,
) -> Result<Vec<Listed>, CliError> {
    let found = list_sessions(dir, limit, wanted).map_err(|error| failed(dir, &error))?;
    let short = ShortIds::new(&session_ids(dir).map_err(|error| failed(dir, &error))?);
    let listed = found.into_iter().map(|summary| Listed {
        short_id: short.of(summary.session),
        stored: stored_bytes(&LogPath::new(dir, summary.session)),
        summary,
    });
    Ok(listed.collect())
}

fn list(dir: &Path, json: bool, limit: usize, here: bool) -> CliResult {
    let cwd = if here { Some(setup::working_directory(None)?) } else { None };
    let found = listed(dir, limit, |summary| cwd.as_ref().is_none_or(|cwd| summary.cwd == *cwd))?;
    if json {
        for one in &found {
            output::line(&troupe_exec::summary_json(one).to_string());
        }
    } else if found.is_empty() {
        output::error(&format!("no sessions in {}", dir.display()));
    } else {
        output::text(&troupe_exec::table(&found));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(dir: &Path, id: SessionId, json: bool) -> CliResult {
    let path = LogPath::new(dir, id);
    let reader = LogReader::open(&path).map_err(|error| failed(dir, &error))?;
    let Some(reader) = reader else {
        return Err(CliError::config(format!("there is no session {id} in {}", dir.display())));
    };
    let mut transcript =
        troupe_exec::Transcript::new(setup::color(ColorArg::Auto, &std::io::stdout()));
    for entry in reader.lines(0).map_err(|error| failed(dir, &error))? {
        match entry.map_err(|error| failed(dir, &error))? {
            ReplayLine::Line { line, .. } if json => {
                let text = line.render().map_err(|error| CliError::internal(error.to_string()))?;
                output::text(&text);
            }
            ReplayLine::Line { line, .. } => output::text(&transcript.line(&line)),
            ReplayLine::Skipped { offset, reason, .. } => {
                output::warning(&format!("the line at byte {offset} is skipped: {reason}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
