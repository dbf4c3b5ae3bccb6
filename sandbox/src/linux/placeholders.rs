//! Empty folders that stand where a name must not be made, for as long as commands run.
//!
//! Several processes may need the same one (all share `/tmp`), and its removal would take the
//! mounts on it away from commands that still run. So whoever needs it holds a shared lock on it,
//! and it is removed by whoever gets the lock alone. A process that is killed removes nothing, so a
//! guard beside it is told of each, and removes what is left when its teller is gone.

use super::sys::{self, Fork, exit_now};
use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead, Write},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
};

/// What they are told from other folders by, also after a process that could not remove them.
const MODE: u32 = 0o1500;

/// Whether it is such a folder.
pub(crate) fn is_placeholder(data: &fs::Metadata) -> bool {
    data.is_dir() && data.mode() & 0o7777 == MODE
}

/// Those that this process holds.
#[derive(Default)]
pub(crate) struct Placeholders {
    held: HashMap<PathBuf, Held>,
    guard: Option<Guard>,
}

struct Held {
    lock: File,
    /// How many commands it stands for.
    commands: u32,
}

impl Placeholders {
    /// Makes and holds those that can be made: what this user cannot make, its commands cannot.
    pub(crate) fn hold<'a>(&mut self, paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
        let mut holding = Vec::new();
        for path in paths {
            match self.held.get_mut(path) {
                // Nobody else removes it; the user may have.
                Some(held) if is_at(&held.lock, path) => held.commands += 1,
                _ => {
                    // Told before it is made: there is no time between.
                    self.guard.get_or_insert_with(Guard::start).tell(HELD, path);
                    let Ok(lock) = make(path) else { continue };
                    let commands = self.held.get(path).map_or(0, |held| held.commands) + 1;
                    self.held.insert(path.clone(), Held { lock, commands });
                }
            }
            holding.push(path.clone());
        }
        holding
    }

    /// The guard's process, if there is one.
    pub(crate) fn guard(&self) -> Option<libc::pid_t> {
        self.guard.as_ref().map(|guard| guard.pid)
    }

    /// Lets those of a command go, and removes those that nobody holds and nothing is in.
    pub(crate) fn release(&mut self, paths: &[PathBuf]) {
        for path in paths {
            let Some(held) = self.held.get_mut(path) else { continue };
            held.commands -= 1;
            if held.commands > 0 {
                continue;
            }
            if let Some(Held { lock, .. }) = self.held.remove(path) {
                remove(&lock, path);
            }
            if let Some(guard) = &mut self.guard {
                guard.tell(RELEASED, path);
            }
        }
    }
}

/// Removes the folder; false if somebody else holds it.
fn remove(lock: &File, path: &Path) -> bool {
    if lock.try_lock().is_err() {
        return false;
    }
    if is_at(lock, path) && lock.metadata().is_ok_and(|data| is_placeholder(&data)) {
        // One that was filled from elsewhere stays.
        let _used = fs::remove_dir(path);
    }
    true
}

/// How often a guard tries, and how long it pauses in between.
const TRIES: u32 = 100;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

const HELD: u8 = b'+';
const RELEASED: u8 = b'-';

/// A process that does nothing but wait for the end of this one.
struct Guard {
    pipe: Option<File>,
    pid: libc::pid_t,
}

impl Guard {
    /// Without one, what a killed process leaves is removed by the next.
    fn start() -> Self {
        let none = Self { pipe: None, pid: 0 };
        let Ok((told, tell)) = sys::pipe() else { return none };
        match sys::fork_with(0) {
            Ok(Fork::Child) => {
                drop(tell);
                watch(told.into())
            }
            Ok(Fork::Parent(pid)) => Self { pipe: Some(tell.into()), pid },
            Err(_) => none,
        }
    }

    fn tell(&mut self, what: u8, path: &Path) {
        let mut line = vec![what];
        line.extend_from_slice(path.as_os_str().as_bytes());
        line.push(0);
        // A guard that is gone guards nothing.
        if self.pipe.as_mut().is_some_and(|pipe| pipe.write_all(&line).is_err()) {
            self.pipe = None;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.pipe.take().is_some() {
            // SAFETY: waits for the child that was made; its status is not needed.
            let _ended = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        }
    }
}

fn watch(told: File) -> ! {
    // Away from what ends its group, and from the terminal.
    // SAFETY: no arguments.
    unsafe { libc::setsid() };
    let _named = sys::name(c"troupe-guard");
    let kept = told.as_raw_fd();
    let _closed = sys::close_others([kept].into_iter(), 0);
    let mut left: Vec<PathBuf> = Vec::new();
    for line in io::BufReader::new(told).split(0).map_while(Result::ok) {
        let Some((what, path)) = line.split_first() else { continue };
        let path = Path::new(OsStr::from_bytes(path));
        match *what {
            HELD => left.push(path.to_owned()),
            _ => left.retain(|known| known != path),
        }
    }
    // Its locks go just after its end of the pipe; what is held for longer is held by others, who
    // remove it.
    for _ in 0..TRIES {
        left.retain(|path| open(path).is_ok_and(|folder| !remove(&folder, path)));
        if left.is_empty() {
            break;
        }
        #[expect(clippy::disallowed_methods, reason = "nobody tells when a lock is let go")]
        std::thread::sleep(PAUSE);
    }
    exit_now(0)
}

/// Makes the folder, unless it is there, with a shared lock on it.
fn make(path: &Path) -> io::Result<File> {
    loop {
        let made = fs::DirBuilder::new().mode(MODE).create(path);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let folder = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        folder.lock_shared()?;
        // Whoever removed it meanwhile held the lock before.
        if is_at(&folder, path) {
            return Ok(folder);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

/// Whether the folder is the one that is there by this name.
fn is_at(folder: &File, path: &Path) -> bool {
    let id = |data: fs::Metadata| (data.dev(), data.ino());
    match (folder.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(there)) => id(held) == id(there),
        _ => false,
    }
}
