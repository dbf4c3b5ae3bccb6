//! Sessions as text: the list, and what happened in one.

use crate::{
    human::{HumanEvents, HumanOptions},
    text::clean,
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use troupe::{
    SessionSummary,
    types::{Content, Event, Item, Line, Record},
};

/// A session as it is listed.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The session.
    pub summary: SessionSummary,
    /// As much of its id as tells it from the others.
    pub short_id: String,
    /// Bytes of its log and of all that is beside it.
    pub stored: u64,
}

/// One session as JSON.
#[must_use]
pub fn summary_json(listed: &Listed) -> Value {
    let summary = &listed.summary;
    let modified = summary.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "id": summary.session.to_string(),
        "short_id": listed.short_id,
        "created_at_ms": summary.session.made_at_ms(),
        "modified_at_ms": u64::try_from(modified.as_millis()).unwrap_or(u64::MAX),
        "cwd": summary.cwd,
        "source": summary.source,
        "parent": summary.parent.map(|parent| parent.to_string()),
        "first_prompt": summary.first_prompt,
        "bytes": listed.stored,
        "log_bytes": summary.bytes,
    })
}

/// Sessions as a table: id, last use, size, front end, directory, first words.
#[must_use]
pub fn table(sessions: &[Listed]) -> String {
    let width = sessions.iter().map(|listed| listed.short_id.len()).max().unwrap_or(0);
    sessions.iter().map(|listed| format!("{}\n", row(listed, width))).collect()
}

/// One session as a line of text; its id is filled up to `width`.
#[must_use]
pub fn row(listed: &Listed, width: usize) -> String {
    let Listed { summary, short_id, stored } = listed;
    let ago = SystemTime::now().duration_since(summary.modified).unwrap_or_default();
    let line = format!(
        "{short_id:<width$}  {:>8}  {:>8}  {:<7}  {}  {}",
        age(ago),
        size(*stored),
        summary.source,
        summary.cwd.display(),
        first_words(summary),
    );
    // One line each, whatever a folder is called.
    clean(line.trim_end()).replace(['\n', '\t'], " ")
}

/// The beginning of the first prompt, in one line.
#[must_use]
pub fn first_words(summary: &SessionSummary) -> String {
    let words = summary.first_prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(60).collect()
}

/// A span in words; `now` if it is less than a minute.
#[must_use]
pub fn age(span: Duration) -> String {
    match span.as_secs() {
        0..60 => "now".to_owned(),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Bytes in the unit that fits.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// What happened in a session, line by line of its log.
#[derive(Debug)]
pub struct Transcript(HumanEvents);

impl Transcript {
    /// With or without colour.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self(HumanEvents::new(HumanOptions { color, ..HumanOptions::default() }))
    }

    /// The text of the next line.
    pub fn line(&mut self, line: &Line) -> String {
        if let Record::ItemAdded(body) = &line.record {
            if let Item::User(user) = &body.item {
                let text: String = user.content.iter().filter_map(Content::as_text).collect();
                return format!("user\n{text}\n\n");
            }
            return String::new();
        }
        self.0.on(&Event::Durable(Box::new(line.clone())))
    }
}
