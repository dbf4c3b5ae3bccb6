//! The journal of a patch that is being applied: what was in each place before, and what is to be
//! there after, so that a patch broken off half-way can be taken back as a whole.
//!
//! One file for each patch: a line of JSON, then the contents one after the other, then a mark; behind
//! it, if there are any, a line with the places that are written in place. It is on the disk before the first file changes, locked as long as its owner lives, and gone when the
//! patch is through. See [`crate::recover`].

use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::apply::{ApplyError, Notes, apply_noted};
use crate::file_system::FileSystem;
use crate::plan::Plan;
use crate::real::temporary_prefix;
use crate::summary::Summary;

/// What a whole journal ends with.
const MARK: &[u8] = b"\nwhole\n";
/// The ending of a journal's name.
pub(crate) const ENDING: &str = "patch";
/// The longest first line, in bytes: a hostile one is not read into memory.
const MOST_HEAD: usize = 64 << 20;

/// What the first line says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    version: u32,
    /// What the names of its temporary files begin with.
    pub(crate) temporary: String,
    pub(crate) places: Vec<Place>,
    /// Directories that were not there before, outermost first.
    pub(crate) directories: Vec<PathBuf>,
}

/// One place.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) before: Option<Content>,
    pub(crate) after: Option<Content>,
}

/// What is in a place.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Content {
    /// How many bytes of the journal are its own.
    length: u64,
    /// Permissions, where systems have them.
    pub(crate) mode: Option<u32>,
    /// It is a link to this path.
    pub(crate) link: Option<PathBuf>,
}

/// A journal, read.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) head: Head,
    /// For each place what was there and what is to be.
    pub(crate) contents: Vec<(Vec<u8>, Vec<u8>)>,
    /// The places (by their index) that may be half-written.
    in_place: Vec<usize>,
}

/// Where the journals of patches are, beside the logs of sessions.
#[must_use]
pub fn journals(sessions: Option<&Path>) -> PathBuf {
    sessions.unwrap_or(Path::new(".")).join("patches")
}

/// Applies `plan` like [`crate::apply`], so that it can be taken back as a whole by
/// [`crate::recover`] if this process is killed. `folder` is where journals are kept; it is made.
///
/// # Errors
/// As [`crate::apply`], and [`ApplyError::Journal`] if the journal cannot be written.
pub fn apply_journaled(
    plan: &Plan,
    fs: &dyn FileSystem,
    folder: &Path,
) -> Result<Summary, ApplyError> {
    // The second process sees what the first one wrote, and stops: otherwise it would put its own
    // text over it, and both would say that they succeeded.
    let _turn = take_turn(folder);
    let mut keeper = Keeper { folder, written: None };
    let applied = apply_noted(plan, fs, &mut keeper);
    if let Some(journal) = keeper.written {
        match &applied {
            // Some files are new and some are not: taken back like after a kill.
            Err(ApplyError::Failed { failure }) if !failure.done.is_empty() => {
                return Err(journal.take_back(applied));
            }
            _ => journal.remove(),
        }
    }
    applied
}

/// Waits until no other process applies a patch, for 5 s at most: one that stands still must not hold
/// up all others. Where there can be no lock there is none.
fn take_turn(folder: &Path) -> Option<File> {
    const STEP: Duration = Duration::from_millis(5);
    make_folder(folder).ok()?;
    // The folder itself, so that nothing is left beside the journals.
    let file = File::open(folder).ok()?;
    for _ in 0..1000 {
        match file.try_lock() {
            Ok(()) => return Some(file),
            // The kernel wakes nobody for a lock with a limit of time.
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(STEP),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

struct Keeper<'a> {
    folder: &'a Path,
    written: Option<Written>,
}

impl Notes for Keeper<'_> {
    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.written = Some(Written::write(plan, self.folder)?);
        Ok(())
    }

    fn in_place(&mut self, places: &[&Path]) -> io::Result<()> {
        self.written.as_ref().map_or(Ok(()), |journal| journal.note_in_place(places))
    }
}

struct Written {
    path: PathBuf,
    /// Its places, in order.
    places: Vec<PathBuf>,
    /// Holds the lock.
    file: File,
}

impl Written {
    fn write(plan: &Plan, folder: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        make_folder(folder)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{count}.{ENDING}", temporary_prefix().trim_start_matches('.'));
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        let mut written = Self { path, places: Vec::new(), file };
        let filled = written.file.lock().and_then(|()| written.fill(plan));
        match filled {
            Ok(()) => Ok(written),
            Err(error) => {
                written.remove();
                Err(error)
            }
        }
    }

    fn fill(&mut self, plan: &Plan) -> io::Result<()> {
        let mut places = Vec::new();
        let mut contents: Vec<&[u8]> = Vec::new();
        let mut directories: Vec<PathBuf> = Vec::new();
        for entry in
            plan.entries.iter().filter(|entry| entry.is_link || entry.before != entry.after)
        {
            let data = fs::symlink_metadata(&entry.place).ok();
            let mode = data.as_ref().map(mode_of);
            let link = data.filter(fs::Metadata::is_symlink).map(|_| fs::read_link(&entry.place));
            let link = link.transpose()?;
            let content = |bytes: &[u8], link| Content { length: bytes.len() as u64, mode, link };
            let before = entry.before.as_deref().unwrap_or_default();
            let after = entry.after.as_deref().unwrap_or_default();
            // What a link leads to stays as it is.
            let before = if link.is_some() { &[][..] } else { before };
            let was = entry.before.is_some() || link.is_some();
            places.push(Place {
                path: entry.place.clone(),
                before: was.then(|| content(before, link)),
                after: entry.after.is_some().then(|| content(after, None)),
            });
            contents.extend([before, after]);
            let missing = entry.place.ancestors().skip(1).take_while(|folder| !folder.is_dir());
            directories.extend(missing.map(Path::to_path_buf));
        }
        directories.sort();
        directories.dedup();
        self.places = places.iter().map(|place: &Place| place.path.clone()).collect();
        let temporary = temporary_prefix().to_owned();
        let head = Head { version: 1, temporary, places, directories };
        let mut text = serde_json::to_vec(&head)?;
        text.push(b'\n');
        for content in contents {
            text.extend_from_slice(content);
        }
        text.extend_from_slice(MARK);
        (&self.file).write_all(&text)?;
        self.file.sync_data()?;
        sync_folder(&self.path)
    }

    /// Adds which places may be found half-written from now on.
    fn note_in_place(&self, places: &[&Path]) -> io::Result<()> {
        let index = |place: &&Path| self.places.iter().position(|own| own == place);
        let mut line = serde_json::to_vec(&places.iter().filter_map(index).collect::<Vec<_>>())?;
        line.push(b'\n');
        (&self.file).write_all(&line)?;
        self.file.sync_data()
    }

    fn remove(&self) {
        // Left behind, it is found to be done by the next recovery.
        let _left = fs::remove_file(&self.path);
    }

    /// A patch that failed half-way: nothing of it is to stay.
    fn take_back(&self, applied: Result<Summary, ApplyError>) -> ApplyError {
        let journal = File::open(&self.path).and_then(Journal::read);
        let undone = match &journal {
            Ok(Some(journal)) => crate::recover::undo(journal).is_ok_and(|left| left.is_empty()),
            _ => false,
        };
        if undone {
            self.remove();
        }
        match applied {
            Err(ApplyError::Failed { mut failure }) => {
                if undone {
                    failure.not_done.splice(0..0, failure.done.drain(..));
                }
                ApplyError::Failed { failure }
            }
            Err(error) => error,
            Ok(_) => ApplyError::Journal { source: io::Error::other("it was taken back") },
        }
    }
}

impl Journal {
    /// Reads a journal; `None` if it was broken off, before anything was changed.
    pub(crate) fn read(file: File) -> io::Result<Option<Self>> {
        let mut reader = io::BufReader::new(file);
        let mut line = Vec::new();
        io::BufRead::read_until(&mut Read::take(&mut reader, MOST_HEAD as u64), b'\n', &mut line)?;
        let Ok(head) = serde_json::from_slice::<Head>(&line) else { return Ok(None) };
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest)?;
        let mut rest = rest.as_slice();
        let mut contents = Vec::new();
        for place in &head.places {
            let mut take = |content: &Option<Content>| {
                let length = content.as_ref().map_or(0, |content| content.length);
                let (bytes, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                rest = left;
                Some(bytes.to_vec())
            };
            let (Some(before), Some(after)) = (take(&place.before), take(&place.after)) else {
                return Ok(None);
            };
            contents.push((before, after));
        }
        let Some(behind) = rest.strip_prefix(MARK) else { return Ok(None) };
        // Written in one go: a line that is not whole says that nothing was written in place yet.
        let in_place = behind.strip_suffix(b"\n").unwrap_or_default();
        let in_place = serde_json::from_slice(in_place).unwrap_or_default();
        Ok(Some(Self { head, contents, in_place }))
    }

    /// Every place with what was there, what is to be there, and whether it is written in place.
    pub(crate) fn places(&self) -> impl Iterator<Item = Found<'_>> {
        let places = self.head.places.iter().zip(&self.contents).enumerate();
        places.map(|(index, (place, (before, after)))| {
            let in_place = self.in_place.contains(&index);
            Found { place, before, after, in_place }
        })
    }
}

/// One place of a journal, with its contents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) place: &'a Place,
    pub(crate) before: &'a [u8],
    pub(crate) after: &'a [u8],
    /// It may be half-written.
    pub(crate) in_place: bool,
}

#[cfg(unix)]
fn mode_of(data: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o7777
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u32 {
    0
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the name of a new file last.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
