//! Sessions as text: the list, and what happened in one.

use crate::human::{HumanEvents, HumanOptions};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use troupe::{
    SessionSummary,
    types::{Content, Event, Item, Line, Record},
};

/// One session as JSON.
#[must_use]
pub fn summary_json(summary: &SessionSummary) -> Value {
    let modified = summary.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "id": summary.session.to_string(),
        "created_at_ms": summary.session.made_at_ms(),
        "modified_at_ms": u64::try_from(modified.as_millis()).unwrap_or(u64::MAX),
        "cwd": summary.cwd,
        "source": summary.source,
        "parent": summary.parent.map(|parent| parent.to_string()),
        "first_prompt": summary.first_prompt,
        "bytes": summary.bytes,
    })
}

/// Sessions as a table.
#[must_use]
pub fn table(summaries: &[SessionSummary]) -> String {
    let mut out = String::new();
    for summary in summaries {
        let ago = SystemTime::now().duration_since(summary.modified).unwrap_or_default();
        let prompt: String = summary
            .first_prompt
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(60)
            .collect();
        let row = writeln!(
            out,
            "{}  {:>8}  {:>8}  {:<7}  {}  {prompt}",
            summary.session,
            age(ago),
            size(summary.bytes),
            summary.source,
            summary.cwd.display(),
        );
        debug_assert!(row.is_ok(), "a string takes all");
    }
    out
}

fn age(span: Duration) -> String {
    match span.as_secs() {
        0..60 => "now".to_owned(),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
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
