//! Removing a session: its log and what is beside it, all together.
//!
//! It is done under the lock of the log, so never while another process has the session open. The
//! log first gets another name, in one step: from then on there is no such session, wherever a
//! crash comes. What a crash left is finished by [`finish_removals`]. Nothing but the files of the
//! session is touched, and links are not followed.

use crate::{
    LogPath,
    log_file::{same_file, sync_folder},
    reader::{LogReader, parse_line},
};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    time::SystemTime,
};
use troupe_types::{Op, Outcome, Record, SessionId};

/// What a removal has to respect.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveRules {
    /// Also one whose last turn was interrupted, or cannot be told.
    pub interrupted: bool,
    /// Only if it was last written to at this time.
    pub unchanged_since: Option<SystemTime>,
    /// Look only: say what would become of it.
    pub dry_run: bool,
}

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is removed; so many bytes are free.
    Removed {
        /// Bytes of its log and of what was beside it.
        bytes: u64,
    },
    /// It is left: there is no such session any more.
    Gone,
    /// It is left: a process has it open.
    Open,
    /// It is left: its last turn was interrupted, so it can go on.
    Interrupted,
    /// It is left: it was written to after it was chosen.
    Used,
    /// It is left: it cannot be told whether it may be removed.
    Unclear(String),
}

/// Bytes that a session takes: its log, and the outputs, long texts and cut tails beside it. Reads
/// no file.
#[must_use]
pub fn stored_bytes(path: &LogPath) -> u64 {
    size_of(&path.file()) + size_of(&path.torn()) + size_of(&path.folder())
}

fn size_of(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    if meta.is_file() {
        return meta.len();
    }
    if !meta.is_dir() {
        return 0;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_of(&entry.path())).sum()
}

/// Removes a session, unless the rules or another process say no.
///
/// # Errors
/// When its files cannot be opened, renamed or removed.
pub fn remove_session(path: &LogPath, rules: RemoveRules) -> io::Result<Removal> {
    let log = path.file();
    match fs::symlink_metadata(&log) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(Removal::Unclear(format!("{} is not a plain file", log.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Gone),
        Err(error) => return Err(error),
    }
    let file = match fs::OpenOptions::new().read(true).write(true).open(&log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Gone),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Removal::Open),
        Err(TryLockError::Error(error)) => {
            let why = format!("whether it is open cannot be told: {error}");
            return Ok(Removal::Unclear(why));
        }
    }
    // Another removal was quicker, or the name leads elsewhere by now.
    if !same_file(&file, fs::symlink_metadata(&log)) {
        return Ok(Removal::Gone);
    }
    if let Some(at) = rules.unchanged_since
        && file.metadata()?.modified().ok() != Some(at)
    {
        return Ok(Removal::Used);
    }
    if !rules.interrupted {
        match last_turn(path)? {
            LastTurn::Over => {}
            LastTurn::Interrupted => return Ok(Removal::Interrupted),
            LastTurn::Unclear(why) => return Ok(Removal::Unclear(why)),
        }
    }
    let bytes = stored_bytes(path);
    if !rules.dry_run {
        fs::rename(&log, path.removing())?;
        // The new name has to last before the first file goes: a session is there whole or not.
        sync_folder(path.dir())?;
        clear(path)?;
    }
    Ok(Removal::Removed { bytes })
}

/// Finishes removals that a crash cut short, and returns their sessions with how that went. One that
/// another process is at is left to it.
///
/// # Errors
/// When the folder cannot be read.
pub fn finish_removals(dir: &Path) -> io::Result<Vec<(SessionId, io::Result<()>)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut finished = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".removing"));
        let Some(session) = id.and_then(|id| id.parse::<SessionId>().ok()) else { continue };
        match finish(&LogPath::new(dir, session)) {
            Ok(false) => {}
            Ok(true) => finished.push((session, Ok(()))),
            Err(error) => finished.push((session, Err(error))),
        }
    }
    Ok(finished)
}

/// Finishes one removal; `false` if it is not to be finished.
fn finish(path: &LogPath) -> io::Result<bool> {
    let left = path.removing();
    // A log under the old name would be another session's with these files.
    let plain = fs::symlink_metadata(&left).is_ok_and(|meta| meta.is_file());
    if !plain || fs::symlink_metadata(path.file()).is_ok() {
        return Ok(false);
    }
    let file = match File::open(&left) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.try_lock().is_err() || !same_file(&file, fs::symlink_metadata(&left)) {
        return Ok(false);
    }
    clear(path).map(|()| true)
}

/// Removes what is left once the log has its other name, that name last.
fn clear(path: &LogPath) -> io::Result<()> {
    gone(remove_any(&path.folder()))?;
    gone(remove_any(&path.torn()))?;
    gone(fs::remove_file(path.removing()))
}

fn remove_any(path: &Path) -> io::Result<()> {
    // Of a link, the link.
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The kinds of lines that tell whether a turn is over.
const TURN: [&str; 3] = ["TurnFinished", "TurnStarted", "OpAccepted"];

enum LastTurn {
    Over,
    Interrupted,
    Unclear(String),
}

/// How the last turn ended; reads the log backwards up to it.
fn last_turn(path: &LogPath) -> io::Result<LastTurn> {
    let Some(reader) = LogReader::open(path)? else { return Ok(LastTurn::Over) };
    let unclear = "no line of its log says how its last turn ended".to_owned();
    let found = reader.last_of(&TURN, |text| {
        let line = match std::str::from_utf8(text) {
            Ok(text) => parse_line(text, path),
            Err(error) => Err(error.into()),
        };
        match line.map(|line| line.record) {
            Ok(Record::TurnFinished(body)) => Some(match body.result {
                Outcome::Cancelled | Outcome::Lost => LastTurn::Interrupted,
                Outcome::Completed | Outcome::Failed(_) | Outcome::TimedOut => LastTurn::Over,
            }),
            Ok(Record::TurnStarted(_)) => Some(LastTurn::Interrupted),
            Ok(Record::OpAccepted(body)) => match body.submission.op {
                Op::Prompt { .. } | Op::Continue | Op::Compact => Some(LastTurn::Interrupted),
                Op::Interrupt | Op::Answer { .. } | Op::EndProcess { .. } => None,
            },
            Ok(_) => None,
            Err(why) => Some(LastTurn::Unclear(format!("its log cannot be understood: {why}"))),
        }
    })?;
    Ok(match found {
        Some(found) => found,
        // A log without a whole line, or without any turn: nothing can go on in it.
        None if reader.end() == 0 || reader.holds_lines()? => LastTurn::Over,
        None => LastTurn::Unclear(unclear),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use troupe_types::{Failure, Line, OpAccepted, OpId, Submission, TurnFinished, TurnId, Usage};

    struct Shelf {
        dir: tempfile::TempDir,
    }

    impl Shelf {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        /// A session with files beside it, whose log holds these records.
        fn session(&self, number: u128, records: Vec<Record>) -> LogPath {
            let path = LogPath::new(self.dir.path(), SessionId::from_u128(number));
            let lines = (0..).zip(records).map(|(seq, record)| Line { seq, at: 1, record });
            let text: String = lines.map(|line| line.render().unwrap()).collect();
            fs::write(path.file(), text).unwrap();
            fs::create_dir(path.folder()).unwrap();
            fs::write(path.folder().join("1-0.txt"), [b'x'; 1000]).unwrap();
            fs::create_dir(path.folder().join("deep")).unwrap();
            fs::write(path.folder().join("deep/call.out"), [b'x'; 500]).unwrap();
            fs::write(path.torn(), [b'x'; 30]).unwrap();
            path
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.dir.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn prompt() -> Record {
        OpAccepted { submission: Submission::new(Op::prompt("go")) }.into()
    }

    fn started() -> Record {
        let (provider, model) = (String::new(), String::new());
        troupe_types::TurnStarted { turn: TurnId::new(), op: OpId::new(), provider, model }.into()
    }

    fn ended(result: Outcome) -> Record {
        let (usage, turn) = (Some(Usage::default()), TurnId::new());
        TurnFinished { turn, result, no_final_message: false, usage, uncounted: 0 }.into()
    }

    fn accepted(op: Op) -> Record {
        OpAccepted { submission: Submission::new(op) }.into()
    }

    fn over() -> Vec<Record> {
        vec![prompt(), started(), ended(Outcome::Completed)]
    }

    fn remove(path: &LogPath) -> Removal {
        remove_session(path, RemoveRules::default()).unwrap()
    }

    #[test]
    fn a_session_goes_with_all_that_is_beside_it_and_nothing_else_does() {
        let shelf = Shelf::new();
        let (one, other) = (shelf.session(1, over()), shelf.session(2, over()));
        let others = [other.file(), other.folder(), other.torn()];
        let size = stored_bytes(&one);
        assert_eq!(size, fs::metadata(one.file()).unwrap().len() + 1530);
        let look = RemoveRules { dry_run: true, ..RemoveRules::default() };
        assert_eq!(remove_session(&one, look).unwrap(), Removal::Removed { bytes: size });
        assert_eq!(shelf.names().len(), 6);
        assert_eq!(remove(&one), Removal::Removed { bytes: size });
        let left = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut wanted: Vec<String> = others.iter().map(left).collect();
        wanted.sort();
        assert_eq!(shelf.names(), wanted);
        assert_eq!(remove(&one), Removal::Gone);
    }

    #[test]
    fn an_open_one_stays_and_so_does_one_that_was_used_meanwhile() {
        let shelf = Shelf::new();
        let path = shelf.session(1, over());
        let holder = File::open(path.file()).unwrap();
        holder.try_lock().unwrap();
        let force = RemoveRules { interrupted: true, ..RemoveRules::default() };
        assert_eq!(remove_session(&path, force).unwrap(), Removal::Open);
        drop(holder);
        let earlier =
            RemoveRules { unchanged_since: Some(SystemTime::UNIX_EPOCH), ..RemoveRules::default() };
        assert_eq!(remove_session(&path, earlier).unwrap(), Removal::Used);
        assert_eq!(shelf.names().len(), 3);
    }

    #[test]
    fn one_that_can_go_on_stays_unless_it_is_wanted_so() {
        let interrupted: [Vec<Record>; 6] = [
            vec![prompt()],
            vec![prompt(), started()],
            vec![prompt(), started(), ended(Outcome::Cancelled)],
            vec![prompt(), started(), accepted(Op::Interrupt), ended(Outcome::Cancelled)],
            [over(), vec![prompt()]].concat(),
            [over(), vec![prompt(), started(), accepted(Op::Interrupt)]].concat(),
        ];
        for records in interrupted {
            let shelf = Shelf::new();
            let path = shelf.session(1, records.clone());
            assert_eq!(remove(&path), Removal::Interrupted, "{records:?}");
            let force = RemoveRules { interrupted: true, ..RemoveRules::default() };
            assert!(matches!(remove_session(&path, force).unwrap(), Removal::Removed { .. }));
            assert!(shelf.names().is_empty());
        }
        let failed = Failure { class: troupe_types::ErrorClass::Auth, message: String::new() };
        for records in [
            Vec::new(),
            over(),
            [over(), vec![accepted(Op::EndProcess { process: None })]].concat(),
            vec![prompt(), started(), ended(Outcome::Failed(failed))],
        ] {
            let path = Shelf::new();
            let path = path.session(1, records.clone());
            assert!(matches!(remove(&path), Removal::Removed { .. }), "{records:?}");
        }
        let shelf = Shelf::new();
        let path = shelf.session(1, over());
        fs::write(path.file(), "what is this?\n").unwrap();
        assert!(matches!(remove(&path), Removal::Unclear(_)));
    }

    #[test]
    fn what_a_crash_left_half_removed_is_no_session_and_is_finished() {
        let shelf = Shelf::new();
        let (half, whole) = (shelf.session(1, over()), shelf.session(2, over()));
        fs::rename(half.file(), half.removing()).unwrap();
        assert_eq!(crate::session_ids(shelf.dir.path()).unwrap(), [whole.session()]);
        assert_eq!(remove(&half), Removal::Gone);
        // Another process is still at it.
        let other = File::open(half.removing()).unwrap();
        other.try_lock().unwrap();
        assert!(finish_removals(shelf.dir.path()).unwrap().is_empty());
        drop(other);
        let finish = || -> Vec<SessionId> {
            let finished = finish_removals(shelf.dir.path()).unwrap().into_iter();
            finished.map(|(session, done)| done.map(|()| session).unwrap()).collect()
        };
        assert_eq!(finish(), [half.session()]);
        assert_eq!(shelf.names().len(), 3);
        // With the files gone and only the name left, too.
        fs::write(half.removing(), "").unwrap();
        assert_eq!(finish(), [half.session()]);
        assert_eq!(shelf.names().len(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let shelf = Shelf::new();
        let outside = tempfile::tempdir().unwrap();
        let precious = outside.path().join("precious");
        fs::write(&precious, "x").unwrap();
        let path = shelf.session(1, over());
        fs::remove_dir_all(path.folder()).unwrap();
        symlink(outside.path(), path.folder()).unwrap();
        fs::remove_file(path.torn()).unwrap();
        symlink(&precious, path.torn()).unwrap();
        assert!(stored_bytes(&path) < 1000);
        assert!(matches!(remove(&path), Removal::Removed { .. }));
        let path = shelf.session(2, over());
        symlink(outside.path(), path.folder().join("out")).unwrap();
        assert!(matches!(remove(&path), Removal::Removed { .. }));
        assert!(precious.exists() && shelf.names().is_empty());
        // A log elsewhere is not this session's own file.
        symlink(&precious, path.file()).unwrap();
        assert!(matches!(remove(&path), Removal::Unclear(_)));
        assert!(precious.exists());
    }
}
