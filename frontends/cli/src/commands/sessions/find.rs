//! Which session is meant: by a piece of its id, or the latest.

use super::{failed, listed};
use crate::{
    args::{LastSession, WhichSession},
    errors::CliError,
    setup,
};
use std::path::Path;
use troupe::{LogPath, list_sessions, matching, session_ids};
use troupe_types::SessionId;

/// Sessions that are named where a text means several.
const NAMED: usize = 10;

/// The session that a command is about.
pub(crate) fn which(dir: &Path, named: &WhichSession) -> Result<SessionId, CliError> {
    match (&named.session, named.last.last) {
        (Some(_), true) => Err(CliError::Usage("name a session, or give --last".to_owned())),
        (Some(text), false) => find(dir, text),
        (None, _) => last(dir, &named.last),
    }
}

/// The session that `text` names: its id, or a piece of it that no other session has.
pub(crate) fn find(dir: &Path, text: &str) -> Result<SessionId, CliError> {
    if text.trim().is_empty() {
        return Err(CliError::Usage(
            "the session's id is empty: `troupe sessions list` shows the ids, --last means the \
             latest session"
                .to_owned(),
        ));
    }
    // The others are not looked at where the id is whole.
    if let Ok(id) = text.trim().parse::<SessionId>()
        && LogPath::new(dir, id).file().is_file()
    {
        return Ok(id);
    }
    let ids = session_ids(dir).map_err(|error| failed(dir, &error))?;
    let found = matching(&ids, text);
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(CliError::config(format!(
            "there is no session `{text}` in {}: `troupe sessions list` names those there are",
            dir.display()
        ))),
        several => Err(ambiguous(dir, text, several)?),
    }
}

/// Says which sessions a text can mean.
fn ambiguous(dir: &Path, text: &str, ids: &[SessionId]) -> Result<CliError, CliError> {
    let some = listed(dir, NAMED, |summary| ids.contains(&summary.session))?;
    let more = match ids.len().saturating_sub(some.len()) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    let lines: Vec<String> =
        troupe_exec::table(&some).lines().map(|line| format!("\n  {line}")).collect();
    Ok(CliError::config(format!(
        "`{text}` can mean {} sessions. Name one of these by the id at its start:{}{more}",
        ids.len(),
        lines.concat()
    )))
}

/// The latest session of the current directory, or of any.
pub(crate) fn last(dir: &Path, args: &LastSession) -> Result<SessionId, CliError> {
    let cwd = setup::working_directory(None)?;
    let found = list_sessions(dir, 1, |summary| args.all || summary.cwd == cwd);
    let found = found.map_err(|error| failed(dir, &error))?;
    found.first().map(|summary| summary.session).ok_or_else(|| {
        CliError::config(if args.all {
            format!("there is no session in {}", dir.display())
        } else {
            format!("there is no session of {}; --last --all looks everywhere", cwd.display())
        })
    })
}
