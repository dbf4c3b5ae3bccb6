//! A sign of life for people who wait: after a while without a line, what is under way and for how
//! long.

use crate::{
    sessions::size,
    text::{clean, summary},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use troupe_types::{CallId, Record, RequestId};

/// How long nothing may be shown before there is a sign, and again from there.
const SILENCES: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// The most of a command that is shown, in characters.
const SHOWN: usize = 60;

/// What is under way.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    /// When something was shown last.
    shown: Instant,
    signs: usize,
    request: Option<(RequestId, Instant, u64)>,
    calls: BTreeMap<CallId, (String, Instant)>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { began: now, shown: now, signs: 0, request: None, calls: BTreeMap::new() }
    }

    /// Takes one more record.
    pub(crate) fn on(&mut self, record: &Record) {
        match record {
            Record::RequestStarted(body) => self.request = Some((body.request, Instant::now(), 0)),
            Record::RequestFinished(_) => self.request = None,
            Record::TextPart(body) => {
                if let Some((request, _, bytes)) = &mut self.request
                    && *request == body.request
                {
                    *bytes += body.text.len() as u64;
                }
            }
            Record::CallStarted(body) => {
                let text = clean(&summary(&body.detail));
                let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let what = format!("`{}`", line.chars().take(SHOWN).collect::<String>());
                self.calls.insert(body.call, (what, Instant::now()));
            }
            Record::CallFinished(body) => drop(self.calls.remove(&body.call)),
            _ => {}
        }
    }

    /// A line was shown.
    pub(crate) fn shown(&mut self) {
        self.shown = Instant::now();
        self.signs = 0;
    }

    /// When the next sign is due.
    pub(crate) fn due(&self) -> Instant {
        self.shown + SILENCES[self.signs.min(SILENCES.len() - 1)]
    }

    /// The sign.
    pub(crate) fn sign(&mut self) -> String {
        self.shown = Instant::now();
        self.signs += 1;
        let ran = span(self.began);
        if let Some((what, since)) = self.calls.values().next() {
            let more = match self.calls.len() {
                1 => String::new(),
                calls => format!(", and {} more", calls - 1),
            };
            return format!("[{ran}] {what} has been running for {}{more}", span(*since));
        }
        match &self.request {
            Some((_, since, 0)) => {
                format!("[{ran}] the model has not answered for {}", span(*since))
            }
            Some((_, since, bytes)) => format!(
                "[{ran}] the model has been answering for {}: {} so far",
                span(*since),
                size(*bytes)
            ),
            None => format!("[{ran}] at work"),
        }
    }
}

fn span(since: Instant) -> String {
    let seconds = since.elapsed().as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}
