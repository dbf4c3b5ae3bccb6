//! `troupe sessions`: what there is, and what happened in one.

use crate::{
    args::{ColorArg, ConfigArgs, SessionsCommand},
    errors::{CliError, CliResult},
    output, setup,
};
use std::{path::Path, process::ExitCode};
use troupe::{LogPath, LogReader, ReplayLine, list_sessions};
use troupe_types::SessionId;

pub(crate) fn run(command: SessionsCommand, config: &ConfigArgs) -> CliResult {
    let places = setup::places(config)?;
    match command {
        SessionsCommand::List { json, limit, here } => {
            list(&places.sessions_dir, json, limit, here)
        }
        SessionsCommand::Show { session, json } => show(&places.sessions_dir, &session, json),
    }
}

fn failed(dir: &Path, error: &std::io::Error) -> CliError {
    CliError::storage(format!("{} cannot be read: {error}", dir.display()))
}

fn list(dir: &Path, json: bool, limit: usize, here: bool) -> CliResult {
    let cwd = if here { Some(setup::working_directory(None)?) } else { None };
    let wanted =
        |summary: &troupe::SessionSummary| cwd.as_ref().is_none_or(|cwd| summary.cwd == *cwd);
    let found = list_sessions(dir, limit, wanted).map_err(|error| failed(dir, &error))?;
    if json {
        for summary in &found {
            output::line(&troupe_exec::summary_json(summary).to_string());
        }
    } else if found.is_empty() {
        output::error(&format!("no sessions in {}", dir.display()));
    } else {
        output::text(&troupe_exec::table(&found));
    }
    Ok(ExitCode::SUCCESS)
}

/// The session that `text` names: its id, or the beginning of just one.
pub(crate) fn find(dir: &Path, text: &str) -> Result<SessionId, CliError> {
    if let Ok(id) = text.parse::<SessionId>() {
        return Ok(id);
    }
    let mut ids: Vec<SessionId> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok())
        .filter(|id: &SessionId| id.to_string().starts_with(&text.to_lowercase()))
        .collect();
    match (ids.pop(), ids.is_empty()) {
        (Some(id), true) => Ok(id),
        (Some(_), false) => Err(CliError::config(format!(
            "several sessions begin with `{text}`: give more of the id"
        ))),
        (None, _) => Err(CliError::config(format!(
            "there is no session `{text}` in {}: `troupe sessions list` names those there are",
            dir.display()
        ))),
    }
}

fn show(dir: &Path, session: &str, json: bool) -> CliResult {
    let id = find(dir, session)?;
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
            ReplayLine::Skipped { offset, reason } => {
                output::warning(&format!("the line at byte {offset} is skipped: {reason}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
