//! Logs that somebody else's hand or tool has been at.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use tempfile::TempDir;
use troupe_messages::ReplayLine;
use troupe_recorder::{LogPath, LogReader, RemoveRules, list_sessions, next_seq, remove_session};
use troupe_types::{
    Checkpoint, Level, Line, LinePlace, LogFlaw, Notice, Op, OpAccepted, Outcome, Record,
    SessionCreated, SessionId, Submission, TurnFinished, TurnId, line_digest,
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
        let replay = reader.replay(None).unwrap();
        assert_eq!((replay.rest.len(), replay.next_seq, replay.flaws), (6, 6, vec![]), "{form}");
        let all = list_sessions(log.dir.path(), 9, |_| true).unwrap();
        assert_eq!(all[0].first_prompt, "the prompt", "{form}");
        assert_eq!(all[0].cwd.to_str(), Some("/work/here"), "{form}");
        // Its last turn has ended, so it may be removed.
        let removed =
            remove_session(&log.path, RemoveRules { dry_run: true, ..Default::default() });
        assert!(format!("{removed:?}").contains("Removed"), "{form}: {removed:?}");
    }
}

/// A log with a checkpoint that points at its second and third line, and two lines behind it.
fn with_checkpoint() -> Vec<String> {
    let mut lines = rendered(vec![created(), prompt("one"), notice("two")]);
    let mut offset = 0;
    let mut places = Vec::new();
    for (seq, line) in (0..).zip(&lines) {
        places.push(LinePlace { offset, seq, digest: line_digest(line.as_bytes()) });
        offset += line.len() as u64 + 1;
    }
    let checkpoint = Checkpoint::new(offset, places.split_off(1), String::new());
    let rest = vec![checkpoint.into(), notice("four"), notice("five")];
    lines.extend(
        (3..).zip(rest).map(|(seq, record)| {
            Line { seq, at: 1, record }.render().unwrap().trim_end().to_owned()
        }),
    );
    lines
}

/// Whether the checkpoint is used, the numbers of the lines that are read, and what is wrong.
fn read(lines: &[String]) -> (bool, Vec<u64>, Vec<LogFlaw>, u64) {
    let log = Log::new();
    log.put(lines.join("\n") + "\n");
    let replay = log.reader().replay(None).unwrap();
    assert_eq!(log.reader().next_seq().unwrap(), replay.next_seq, "one truth");
    let numbers = replay.rest.iter().filter_map(|line| match line {
        ReplayLine::Line { seq, .. } | ReplayLine::Skipped { seq, .. } => *seq,
    });
    (replay.checkpoint.is_some(), numbers.collect(), replay.flaws, replay.next_seq)
}

#[test]
fn a_checkpoint_that_does_not_fit_gives_way_to_the_whole_log() {
    let lines = with_checkpoint();
    let all: Vec<u64> = (0..6).collect();
    assert_eq!(read(&lines), (true, vec![4, 5], vec![], 6));
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        read(&lines)
    };
    // A line of the context, of the same length and of another.
    let word = |lines: &mut Vec<String>| lines[2] = lines[2].replace("two", "2wo");
    assert_eq!(changed(&word), (false, all.clone(), vec![], 6));
    let longer = |lines: &mut Vec<String>| lines[2] = lines[2].replace("two", "twice");
    assert_eq!(changed(&longer), (false, all.clone(), vec![], 6));
    // A line that it does not point at, but that is before it.
    let other = |lines: &mut Vec<String>| lines[0] = lines[0].replace("here", "elsewhere");
    assert_eq!(changed(&other), (false, all.clone(), vec![], 6));
    let ends = |lines: &mut Vec<String>| lines.iter_mut().for_each(|line| line.push('\r'));
    assert_eq!(changed(&ends), (false, all.clone(), vec![], 6));
    // The checkpoint itself.
    let own = |lines: &mut Vec<String>| lines[3] = lines[3].replace("\"lines\"", "\"linez\"");
    assert_eq!(changed(&own), (false, all.clone(), vec![], 6));
    let missing = |from: u64, to: u64| LogFlaw::Missing { from, to };
    let gone = |lines: &mut Vec<String>| drop(lines.remove(2));
    assert_eq!(changed(&gone), (false, vec![0, 1, 3, 4, 5], vec![missing(2, 2)], 6));
    // Behind it: something may have been moved before it.
    let gone = |lines: &mut Vec<String>| drop(lines.remove(4));
    assert_eq!(changed(&gone), (false, vec![0, 1, 2, 3, 5], vec![missing(4, 4)], 6));
    let moved = |lines: &mut Vec<String>| {
        let last = lines.remove(5);
        lines.insert(1, last);
    };
    let (used, numbers, flaws, next) = changed(&moved);
    assert_eq!((used, numbers, next), (false, all.clone(), 6));
    assert_eq!(flaws, [LogFlaw::Moved { from: 1, to: 4 }]);
    let twice = |lines: &mut Vec<String>| lines.push(lines[1].clone());
    let repeated = LogFlaw::Repeated { from: 1, to: 1 };
    assert_eq!(changed(&twice), (false, all.clone(), vec![repeated], 6));
    // Swapped behind it: put in order, and nothing else is needed.
    let swapped = |lines: &mut Vec<String>| lines.swap(4, 5);
    let (_, numbers, flaws, next) = changed(&swapped);
    assert_eq!((numbers.ends_with(&[4, 5]), next), (true, 6));
    assert_eq!(flaws, [LogFlaw::Moved { from: 4, to: 4 }]);
}

#[test]
fn a_log_of_a_later_program_is_known_as_one() {
    let mut lines = with_checkpoint();
    let log = Log::new();
    let later = |lines: &[String]| {
        log.put(lines.join("\n") + "\n");
        log.reader().replay(None).unwrap().later
    };
    assert_eq!(later(&lines), None);
    lines[4] = lines[4].replace("\"v\":1", "\"v\": 2");
    assert_eq!(later(&lines), Some(2));
    lines[4] = "{\"v\":3,\"said\":[]}".to_owned();
    assert_eq!(later(&lines), Some(3));
}
