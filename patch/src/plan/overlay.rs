//! The files of a patch as they will be: what was read from the disk, and what hunks left so far.
//!
//! One [`Entry`] for each physical place, however many names or links lead to it.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file_system::{FileSystem, Kind};
use crate::paths;

/// One place on the disk and what the patch makes of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where it is, links resolved.
    pub(crate) place: PathBuf,
    /// As the patch named it first, made absolute.
    pub(crate) path: PathBuf,
    /// As the patch wrote it.
    pub(crate) display: String,
    /// The bytes found on the disk.
    pub(crate) before: Option<Arc<[u8]>>,
    /// The bytes to be there in the end.
    pub(crate) after: Option<Arc<[u8]>>,
    /// Whether the place itself holds a link (only when a hunk removes that link).
    pub(crate) is_link: bool,
    /// Whether an add gave it its contents.
    pub(crate) added: bool,
    /// The entry it was moved from.
    pub(crate) origin: Option<usize>,
    /// Reached through a link to nothing that leads out of the working directory.
    stray: bool,
    hunk: usize,
}

pub(super) struct Overlay<'a> {
    pub(super) entries: Vec<Entry>,
    pub(super) touched: BTreeSet<PathBuf>,
    pub(super) repeated: BTreeSet<PathBuf>,
    fs: &'a dyn FileSystem,
    cwd: &'a Path,
    /// `cwd` with links resolved.
    root: PathBuf,
    by_place: HashMap<PathBuf, usize>,
    /// Files with several names.
    by_identity: HashMap<(u64, u64), usize>,
    hunk: usize,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(fs: &'a dyn FileSystem, cwd: &'a Path) -> Self {
        Self {
            entries: Vec::new(),
            touched: BTreeSet::new(),
            repeated: BTreeSet::new(),
            fs,
            cwd,
            root: fs.canonicalize(cwd).unwrap_or_else(|_| cwd.to_path_buf()),
            by_place: HashMap::new(),
            by_identity: HashMap::new(),
            hunk: 0,
        }
    }

    /// Says that the next calls belong to another hunk.
    pub(super) fn next_hunk(&mut self) {
        self.hunk += 1;
    }

    /// A name of the patch as an absolute path.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        paths::absolute(self.cwd, name)
    }

    /// The entry a name leads to for reading and writing: the last link is followed.
    pub(super) fn open(&mut self, name: &str) -> io::Result<usize> {
        let itself = self.touch(name)?;
        if self.by_place.contains_key(&itself) || self.fs.kind(&itself)? != Kind::Symlink {
            let place = self.first_name(itself);
            return self.entry(place, name, false);
        }
        let place = paths::resolve(self.fs, &itself)?;
        let visible = self.visible(&place);
        self.touched.insert(visible);
        let stray = !place.starts_with(&self.root) && self.fs.kind(&place)? == Kind::Missing;
        let place = self.first_name(place);
        self.entry(place, name, stray)
    }

    /// The name by which the patch knows a file already, if it has several (hard links).
    fn first_name(&self, place: PathBuf) -> PathBuf {
        if self.by_place.contains_key(&place) {
            return place;
        }
        let known = self.fs.identity(&place).and_then(|identity| self.by_identity.get(&identity));
        match known.map(|&known| &self.entries[known]) {
            Some(entry) if entry.after.is_some() => entry.place.clone(),
            _ => place,
        }
    }

    /// The entry of the name itself: a link is not followed. For removing.
    pub(super) fn open_itself(&mut self, name: &str) -> io::Result<usize> {
        let itself = self.touch(name)?;
        self.entry(itself, name, false)
    }

    /// The bytes an entry has at this point of the patch.
    pub(super) fn bytes_of(&self, entry: usize) -> io::Result<Arc<[u8]>> {
        let entry = &self.entries[entry];
        match (&entry.after, &entry.before) {
            (Some(bytes), _) => Ok(Arc::clone(bytes)),
            (None, Some(_)) => Err(io::Error::other("the patch removes it before")),
            // Ask for the file once more, for the system's own words.
            (None, None) => match self.fs.read(&entry.place) {
                Err(error) => Err(error),
                Ok(_) => Err(ErrorKind::NotFound.into()),
            },
        }
    }

    /// Gives an entry new bytes, if a file can be there.
    pub(super) fn put(&mut self, entry: usize, bytes: &[u8]) -> io::Result<()> {
        self.check_place(&self.entries[entry])?;
        self.entries[entry].after = Some(bytes.into());
        Ok(())
    }

    /// Removes an entry.
    pub(super) fn take(&mut self, entry: usize) {
        let entry = &mut self.entries[entry];
        entry.after = None;
        entry.added = false;
        entry.origin = None;
    }

    /// Notes a name as touched; gives the place of its directory entry.
    fn touch(&mut self, name: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        let itself = paths::resolve_entry(self.fs, &path)?;
        let visible = self.visible(&itself);
        self.touched.extend([path, visible]);
        Ok(itself)
    }

    /// A place in terms of `cwd` as the caller calls it, where it lies inside.
    fn visible(&self, place: &Path) -> PathBuf {
        match place.strip_prefix(&self.root) {
            Ok(rest) if rest.as_os_str().is_empty() => self.cwd.to_path_buf(),
            Ok(rest) => self.cwd.join(rest),
            Err(_) => place.to_path_buf(),
        }
    }

    fn entry(&mut self, place: PathBuf, name: &str, stray: bool) -> io::Result<usize> {
        if let Some(&known) = self.by_place.get(&place) {
            let entry = &mut self.entries[known];
            if entry.hunk != self.hunk {
                entry.hunk = self.hunk;
                self.repeated.insert(entry.path.clone());
            }
            return Ok(known);
        }
        let path = self.path(name);
        let before = snapshot(self.fs, &place, &path)?;
        self.by_place.insert(place.clone(), self.entries.len());
        if let Some(identity) = self.fs.identity(&place) {
            self.by_identity.insert(identity, self.entries.len());
        }
        self.entries.push(Entry {
            is_link: self.fs.kind(&place)? == Kind::Symlink,
            place,
            path,
            display: name.to_owned(),
            after: before.clone(),
            before,
            added: false,
            origin: None,
            stray,
            hunk: self.hunk,
        });
        Ok(self.entries.len() - 1)
    }

    /// Refuses a place below a file, above another new file, or at the end of a stray link.
    fn check_place(&self, entry: &Entry) -> io::Result<()> {
        if entry.stray {
            return Err(io::Error::other(format!(
                "it is a link to {}, which is outside the working directory and does not exist",
                entry.place.display()
            )));
        }
        let full = |other: &&Entry| other.after.is_some() && other.place != entry.place;
        if self.entries.iter().filter(full).any(|other| other.place.starts_with(&entry.place)) {
            return Err(ErrorKind::IsADirectory.into());
        }
        for above in entry.place.ancestors().skip(1) {
            match self.by_place.get(above).map(|&known| self.entries[known].after.is_some()) {
                Some(true) => return Err(ErrorKind::NotADirectory.into()),
                Some(false) => continue,
                None => {}
            }
            match self.fs.kind(above)? {
                Kind::Missing => {}
                Kind::Directory | Kind::Symlink => return Ok(()),
                Kind::File | Kind::Other => return Err(ErrorKind::NotADirectory.into()),
            }
        }
        Ok(())
    }
}

/// The bytes at a place: nothing, a file's, or those a link leads to (none for a link to nothing).
/// `shown` is how errors call it.
pub(crate) fn snapshot(
    fs: &dyn FileSystem,
    place: &Path,
    shown: &Path,
) -> io::Result<Option<Arc<[u8]>>> {
    let kind = fs.kind(place)?;
    if kind == Kind::Symlink {
        return match fs.canonicalize(place) {
            Ok(target) => snapshot(fs, &target, shown),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(Arc::default())),
            Err(error) => Err(error),
        };
    }
    match kind {
        Kind::Missing => Ok(None),
        Kind::File => Ok(Some(fs.read(place)?.into())),
        _ => Err(io::Error::other(format!("path `{}` is not a file", shown.display()))),
    }
}
