//! Taking over what a command changed in its copy of a git folder.
//!
//! Only what adds to the repository and runs nothing: objects whose content is what their name says,
//! branches and `HEAD` that lead to complete commits, lines added to reflogs, the index, and the
//! state of a merge or rebase. Nothing is deleted but that state. Whatever else was changed stays as
//! it was, and is told.
//!
//! Commands may run side by side, each with a copy of its own. What somebody else changed since the
//! copy was made is not written over; the command then fails, as git does when it finds a lock.

use super::{
    Repository, coarse_now, index,
    objects::Objects,
    refs::{Target, is_valid, read_target},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, SystemTime},
};

/// The state of what is under way: plain texts and names of commits.
const STATE: [&str; 15] = [
    "ORIG_HEAD",
    "FETCH_HEAD",
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "MERGE_RR",
    "AUTO_MERGE",
    "SQUASH_MSG",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "COMMIT_EDITMSG",
    "BISECT_LOG",
    "BISECT_START",
    "BISECT_TERMS",
];
/// Folders of it.
const STATE_FOLDERS: [&str; 3] = ["rebase-merge", "rebase-apply", "sequencer"];
/// What a list of steps may say: `exec` is not among it.
const STEPS: [&str; 22] = [
    "pick", "p", "reword", "r", "edit", "e", "squash", "s", "fixup", "f", "drop", "d", "break",
    "b", "label", "l", "reset", "t", "merge", "m", "noop", "revert",
];
/// Files of it that name programs.
const NOT_STATE: [&str; 3] = ["gpg_sign_opt", "strategy", "strategy_opts"];
/// The longest text of it, in bytes.
const MOST_TEXT: u64 = 16 << 20;
/// The longest index.
const MOST_INDEX: u64 = 1 << 30;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// How many entries were taken over.
    pub(crate) count: u32,
    /// What was not, and why.
    pub(crate) refused: Vec<String>,
    /// Something of it was not because somebody else changed the same meanwhile: a commit, or what
    /// was staged, is not where the command left it.
    pub(crate) conflict: bool,
}

/// Whether the command changed anything in its copy.
pub(crate) fn is_changed(repository: &Repository) -> bool {
    fs::read_dir(place(&repository.upper)).is_ok_and(|mut entries| entries.next().is_some())
}

/// Takes over what is sound. Nothing else may run in the namespaces: links that it left are not
/// followed.
pub(crate) fn take_over(repository: &Repository) -> Taken {
    // One take-over at a time, across all processes. Closing the file releases the lock.
    let lock = File::open(place(&repository.original)).and_then(|folder| {
        folder.lock()?;
        Ok(folder)
    });
    let taken = take_sound(repository);
    if taken.count > 0 {
        settle();
    }
    drop(lock);
    taken
}

/// Waits until files that are changed from now on have a later time than those just written (at
/// most a tick): a copy that is made now is not held for older than they are.
#[expect(clippy::disallowed_methods, reason = "the clock is what is waited for")]
fn settle() {
    let written = SystemTime::now();
    while coarse_now() <= written {
        sleep(Duration::from_millis(1));
    }
}

fn take_sound(repository: &Repository) -> Taken {
    let (upper, real) = (place(&repository.upper), place(&repository.original));
    let config = fs::read_to_string(real.join("config")).unwrap_or_default().to_lowercase();
    if config.contains("objectformat") && config.contains("sha256") {
        let why = "its objects are named by SHA-256, which is not supported";
        return Taken { refused: vec![why.to_owned()], ..Taken::default() };
    }
    let mut objects = Objects::open(real.join("objects"));
    let (count, refused) = objects.take(&upper.join("objects"));
    let mut taken = Taken { count, refused, conflict: false };
    // In a partial clone objects are missing by design.
    if !config.contains("promisor") && !objects.are_complete() {
        taken.refused.push("new commits lack objects that they need".to_owned());
        return taken;
    }
    let mut bases = vec![PathBuf::new()];
    if let Ok(worktrees) = fs::read_dir(upper.join("worktrees")) {
        let folders = worktrees.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        bases.extend(folders.map(|entry| Path::new("worktrees").join(entry.file_name())));
    }
    for base in bases {
        let mut over = TakeOver {
            upper: upper.join(&base),
            real: real.join(&base),
            repository,
            objects: &mut objects,
            made: count > 0,
            moved: Vec::new(),
            taken: &mut taken,
        };
        // A worktree that there was not before stays out.
        if over.real.is_dir() {
            over.all();
        }
    }
    taken
}

fn place(folder: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

struct TakeOver<'a> {
    upper: PathBuf,
    real: PathBuf,
    repository: &'a Repository,
    objects: &'a mut Objects,
    /// There are new objects.
    made: bool,
    /// Refs that somebody else changed meanwhile.
    moved: Vec<PathBuf>,
    taken: &'a mut Taken,
}

impl TakeOver<'_> {
    fn all(&mut self) {
        self.refs(Path::new("refs"));
        self.reference(Path::new("HEAD"));
        self.logs(Path::new("logs"));
        for name in STATE {
            self.state(Path::new(name));
        }
        for name in STATE_FOLDERS {
            self.state_folder(Path::new(name));
        }
        self.index();
    }

    fn note(&mut self, path: &Path, done: io::Result<()>) {
        match done {
            Ok(()) => self.taken.count += 1,
            Err(error) => self.taken.refused.push(format!("{} ({error})", path.display())),
        }
    }

    /// The entries of a folder of the copy, with what they are.
    fn entries(&self, folder: &Path) -> Vec<(PathBuf, Kind)> {
        let Ok(entries) = fs::read_dir(self.upper.join(folder)) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Some((folder.join(entry.file_name()), kind(&entry.path())?)))
            .collect();
        found.sort();
        found
    }

    fn refs(&mut self, folder: &Path) {
        for (path, kind) in self.entries(folder) {
            match kind {
                Kind::Folder => self.refs(&path),
                Kind::File => self.reference(&path),
                Kind::Deleted => {
                    let why = io::Error::other("deleted: it stays");
                    self.note(&path, Err(why));
                }
            }
        }
    }

    fn reference(&mut self, path: &Path) {
        if kind(&self.upper.join(path)) != Some(Kind::File) {
            return;
        }
        let done = self.try_reference(path);
        if is_conflict(&done) {
            self.taken.conflict = true;
            self.moved.push(path.to_owned());
        }
        self.note(path, done);
    }

    fn try_reference(&mut self, path: &Path) -> io::Result<()> {
        let name = path.to_str().unwrap_or("");
        if name != "HEAD" && !is_valid(name) {
            return Err(io::Error::other("not a name that commands may set"));
        }
        let content = read(&self.upper.join(path), 4096)?;
        match read_target(&content) {
            Some(Target::Other) => {}
            Some(Target::Object(object)) if self.objects.has(&object) => {}
            Some(Target::Object(_)) => return Err(io::Error::other("what it names is not there")),
            None => return Err(io::Error::other("its content is no ref")),
        }
        self.replace(path, &content)
    }

    /// Writes a file as git does, by way of its lock, unless somebody else did since.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let target = self.real.join(path);
        if self.is_newer(&target)? && fs::read(&target)? != content {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "changed by somebody else meanwhile",
            ));
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut lock = target.clone().into_os_string();
        lock.push(".lock");
        let mut file = OpenOptions::new().write(true).create_new(true).open(&lock)?;
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_data())
            .and_then(|()| fs::rename(&lock, &target));
        if written.is_err() {
            let _gone = fs::remove_file(&lock);
        }
        written
    }

    /// Whether a file was written to since the copy was made.
    fn is_newer(&self, target: &Path) -> io::Result<bool> {
        let Ok(data) = fs::symlink_metadata(target) else { return Ok(false) };
        Ok(data.modified()? >= self.repository.since)
    }

    fn logs(&mut self, folder: &Path) {
        for (path, kind) in self.entries(folder) {
            match kind {
                Kind::Folder => self.logs(&path),
                // It would tell of a change that was not taken over.
                Kind::File if self.is_of_moved(&path) => {}
                Kind::File => {
                    let done = self.append(&path);
                    self.note(&path, done);
                }
                // The branch stays, and its log.
                Kind::Deleted => {}
            }
        }
    }

    /// Whether it is the log of a ref that somebody else changed meanwhile, or of `HEAD` with one.
    fn is_of_moved(&self, log: &Path) -> bool {
        let name = log.strip_prefix("logs").unwrap_or(log);
        self.moved.iter().any(|moved| moved == name || name == "HEAD")
    }

    /// Adds what a log has more than the real one.
    fn append(&self, path: &Path) -> io::Result<()> {
        let content = read(&self.upper.join(path), MOST_TEXT)?;
        let target = self.real.join(path);
        let before = match fs::read(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            before => before?,
        };
        let Some(more) = content.strip_prefix(before.as_slice()) else {
            return Err(io::Error::other("lines of it were changed: it stays"));
        };
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().create(true).append(true).open(&target)?.write_all(more)
    }

    fn state(&mut self, path: &Path) {
        let done = match kind(&self.upper.join(path)) {
            Some(Kind::File) => {
                read(&self.upper.join(path), MOST_TEXT).and_then(|text| self.replace(path, &text))
            }
            Some(Kind::Deleted) => remove(&self.real.join(path)),
            _ => return,
        };
        self.note(path, done);
    }

    fn state_folder(&mut self, folder: &Path) {
        match kind(&self.upper.join(folder)) {
            Some(Kind::Deleted) => {
                let done = match fs::remove_dir_all(self.real.join(folder)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    done => done,
                };
                self.note(folder, done);
            }
            Some(Kind::Folder) => {
                let entries = self.entries(folder);
                let runs = entries.iter().any(|(path, _)| !self.is_plain(path));
                if runs {
                    let why = io::Error::other("its steps run programs");
                    return self.note(folder, Err(why));
                }
                for (path, _) in entries {
                    if path.file_name().is_some_and(|n| !NOT_STATE.iter().any(|not| n == *not)) {
                        self.state(&path);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a file of a rebase names no programs.
    fn is_plain(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if !["git-rebase-todo", "git-rebase-todo.backup", "todo", "done"].contains(&name) {
            return true;
        }
        let Ok(text) = read(&self.upper.join(path), MOST_TEXT) else { return true };
        String::from_utf8_lossy(&text).lines().all(|line| {
            let step = line.split_whitespace().next().unwrap_or("#");
            step.starts_with('#') || STEPS.contains(&step) || step == "update-ref" || step == "u"
        })
    }

    fn index(&mut self) {
        let path = Path::new("index");
        if kind(&self.upper.join(path)) != Some(Kind::File) {
            return;
        }
        let done = read(&self.upper.join(path), MOST_INDEX).and_then(|content| {
            if !content.starts_with(b"DIRC") {
                return Err(io::Error::other("it is no index"));
            }
            let target = self.real.join(path);
            if self.is_newer(&target)? && says_the_same(&fs::read(&target)?, &content) {
                return Ok(());
            }
            self.replace(path, &content)
        });
        // A command that only looked at the repository left nothing in its index that could be lost.
        self.taken.conflict |= is_conflict(&done) && self.made;
        self.note(path, done);
    }
}

/// Whether two indexes differ in no more than what looking at files changes.
fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    index::entries(one).is_some_and(|entries| Some(entries) == index::entries(other))
}

/// Whether somebody else changed the file, or is about to: its lock is there.
fn is_conflict(done: &io::Result<()>) -> bool {
    done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Folder,
    File,
    /// A whiteout: it is not there any more.
    Deleted,
}

fn kind(path: &Path) -> Option<Kind> {
    use std::os::unix::fs::MetadataExt;
    let data = fs::symlink_metadata(path).ok()?;
    let kind = data.file_type();
    if kind.is_dir() {
        Some(Kind::Folder)
    } else if kind.is_file() {
        Some(Kind::File)
    } else if kind.is_char_device() && data.rdev() == 0 {
        Some(Kind::Deleted)
    } else {
        None
    }
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut content = Vec::new();
    File::take(file, most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other("too long"));
    }
    Ok(content)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
