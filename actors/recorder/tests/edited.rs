//! Logs that somebody else's hand or tool has been at.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use tempfile::TempDir;
use troupe_messages::ReplayLine;
use troupe_recorder::{LogPath, LogReader, RemoveRules, list_sessions, next_seq, remove_session};
use troupe_types::{
    Checkpoint, Level, Line, Notice, Op, OpAccepted, Outcome, Record, SessionCreated, SessionId,
    Submission, TurnFinished, TurnId,
};

struct Log {
    dir: TempDir,
    path: LogPath,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = LogPath::new(dir.path(), SessionId::from_u128(7));
        Self { dir, path }
    }

    fn put(&self, text: impl AsRef<[u8]>) {
        fs::write(self.path.file(), text).unwrap();
    }

    fn reader(&self) -> LogReader {
        LogReader::open(&self.path).unwrap().unwrap()
    }
}

fn notice(text: &str) -> Record {
    Notice { level: Level::Warning, text: text.to_owned() }.into()
}

fn created() -> Record {
    SessionCreated {
        session: SessionId::from_u128(7),
        parent: None,
        source: "test".into(),
        cwd: "/work/here".into(),
        version: "0".into(),
    }
    .into()
}

fn prompt(text: &str) -> Record {
    OpAccepted { submission: Submission::new(Op::prompt(text)) }.into()
}

fn finished() -> Record {
    TurnFinished {
        turn: TurnId::from_u128(1),
        result: Outcome::Completed,
        no_final_message: false,
        usage: None,
        uncounted: 0,
    }
    .into()
}

fn rendered(records: Vec<Record>) -> Vec<String> {
    let lines = (0..).zip(records).map(|(seq, record)| Line { seq, at: 1, record });
    lines.map(|line| line.render().unwrap().trim_end().to_owned()).collect()
}

/// The same lines as other tools write them.
fn forms(lines: &[String]) -> Vec<(&'static str, String)> {
    let joined = |end: &str, each: &dyn Fn(&str) -> String| {
        lines.iter().map(|line| each(line) + end).collect::<String>()
    };
    let spaced = |line: &str| line.replacen("\":", "\": ", 5).replacen(",\"", ", \"", 4);
    let turned = |line: &str| {
        // The keys in the order of the alphabet: the body comes before the kind and the number.
        serde_json::from_str::<serde_json::Value>(line).unwrap().to_string()
    };
    let own = |line: &str| line.to_owned();
    vec![
        ("as written", joined("\n", &own)),
        ("other line ends", joined("\r\n", &own)),
        ("with spaces", joined("\n", &spaced)),
        ("other order", joined(" \n", &turned)),
        ("byte order mark", format!("\u{feff}{}", joined("\n", &own))),
        ("blank lines", format!("\n{}\n \r\n", joined("\n\n", &own))),
    ]
}

#[test]
fn a_log_that_another_tool_wrote_anew_is_the_same_log() {
    let long = "\"kind\":\"Checkpoint\" ".repeat(4000);
    let records = vec![
        created(),
        prompt("the prompt"),
        notice("before"),
        Checkpoint::default().into(),
        notice(&long),
        finished(),
    ];
    for (form, text) in forms(&rendered(records.clone())) {
        let log = Log::new();
        log.put(text);
        let reader = log.reader();
        assert_eq!((reader.next_seq().unwrap(), next_seq(&log.path).unwrap()), (6, 6), "{form}");
        let lines = reader.lines(0).unwrap().map(|line| match line.unwrap() {
            ReplayLine::Line { offset, line, .. } => (offset, line.record),
            other => panic!("{form}: {other:?}"),
        });
        let (places, read): (Vec<u64>, Vec<Record>) = lines.unzip();
        assert_eq!(read, records, "{form}");
        for (seq, place) in (0..).zip(places) {
            assert_eq!(reader.find(seq).unwrap(), Some(place), "{form}");
        }
        assert_eq!(reader.replay(None).unwrap().rest.len(), 2, "{form}");
        let all = list_sessions(log.dir.path(), 9, |_| true).unwrap();
        assert_eq!(all[0].first_prompt, "the prompt", "{form}");
        assert_eq!(all[0].cwd.to_str(), Some("/work/here"), "{form}");
        // Its last turn has ended, so it may be removed.
        let removed =
            remove_session(&log.path, RemoveRules { dry_run: true, ..Default::default() });
        assert!(format!("{removed:?}").contains("Removed"), "{form}: {removed:?}");
    }
}
