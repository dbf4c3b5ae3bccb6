//! Listing sessions: the head of each log, the latest first. There is no index to go stale.

use crate::{LogPath, reader::parse_line};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};
use troupe_types::{Content, Op, Record, SessionId};

/// Read of each log at most, in bytes.
const HEAD: u64 = 256 * 1024;
/// Characters of the first prompt that are kept.
const PROMPT: usize = 200;

/// A session in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// The session.
    pub session: SessionId,
    /// When it was last written to.
    pub modified: SystemTime,
    /// The size of its log in bytes.
    pub bytes: u64,
    /// Where it works; empty if its log does not say.
    pub cwd: PathBuf,
    /// The front end that made it.
    pub source: String,
    /// The session it was made from.
    pub parent: Option<SessionId>,
    /// The beginning of its first prompt.
    pub first_prompt: String,
}

/// The sessions in `dir` that `wanted` accepts, the one last written to first, at most `limit`.
///
/// # Errors
/// When the folder cannot be read; one that does not exist is empty.
pub fn list_sessions(
    dir: &Path,
    limit: usize,
    wanted: impl Fn(&SessionSummary) -> bool,
) -> io::Result<Vec<SessionSummary>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        let Some(session) = id.and_then(|id| id.parse::<SessionId>().ok()) else { continue };
        // One that is removed meanwhile is not there.
        if let Ok(meta) = entry.metadata() {
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((modified, session, meta.len()));
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    let summaries = found.into_iter().map(|(modified, session, bytes)| {
        let path = LogPath::new(dir, session);
        let mut summary = SessionSummary {
            session,
            modified,
            bytes,
            cwd: PathBuf::new(),
            source: String::new(),
            parent: None,
            first_prompt: String::new(),
        };
        read_head(&path, &mut summary);
        summary
    });
    Ok(summaries.filter(|summary| wanted(summary)).take(limit).collect())
}

/// Fills in what the head of the log says; what cannot be read stays empty.
fn read_head(path: &LogPath, summary: &mut SessionSummary) {
    let file = path.file();
    // Opening a pipe of that name would wait.
    if !file.is_file() {
        return;
    }
    let Ok(file) = File::open(file) else { return };
    for line in BufReader::new(file.take(HEAD)).lines().take(8) {
        let Ok(line) = line else { return };
        match parse_line(&line, path).map(|line| line.record) {
            Ok(Record::SessionCreated(body)) => {
                summary.cwd = body.cwd;
                summary.source = body.source;
                summary.parent = body.parent;
            }
            // Where the first line cannot be read.
            Ok(Record::SessionOpened(body)) if summary.cwd.as_os_str().is_empty() => {
                summary.cwd = body.settings.cwd;
            }
            Ok(Record::OpAccepted(body)) => {
                if let Op::Prompt { content, .. } = &body.submission.op {
                    let text = content.iter().filter_map(Content::as_text).next().unwrap_or("");
                    summary.first_prompt = text.chars().take(PROMPT).collect();
                    return;
                }
            }
            _ => {}
        }
    }
}
