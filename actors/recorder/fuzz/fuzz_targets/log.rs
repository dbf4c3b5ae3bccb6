//! Any bytes as a session's log: `cargo +nightly fuzz run log`.
//!
//! Reading must not panic, must see every whole line once, and a line that is read must be written
//! and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{fs, sync::LazyLock};
use troupe_messages::ReplayLine;
use troupe_recorder::{LogPath, LogReader};
use troupe_types::{Line, SessionId};

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder for the log"));

fuzz_target!(|bytes: &[u8]| {
    let path = LogPath::new(FOLDER.path(), SessionId::from_u128(1));
    fs::create_dir_all(path.dir()).expect("the folder");
    fs::write(path.file(), bytes).expect("the log");
    let reader = LogReader::open(&path).expect("it can be read").expect("it is there");
    let whole = bytes.iter().filter(|byte| **byte == b'\n').count();
    let lines: Vec<_> = reader.lines(0).expect("its lines").map(|line| line.expect("one")).collect();
    assert_eq!(lines.len(), whole);
    for line in lines {
        if let ReplayLine::Line { line, .. } = line {
            let text = line.render().expect("it can be written");
            assert_eq!(Line::parse(&text).expect("it can be read again"), *line);
        }
    }
    let next = reader.next_seq().expect("its end");
    let replay = reader.replay(None).expect("a replay");
    assert_eq!(replay.next_seq, next);
});
