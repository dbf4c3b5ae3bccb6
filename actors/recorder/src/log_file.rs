//! One log as its writer has it: the descriptor with the lock, the next number, the length.

use crate::{
    LogHook, LogPath, LogPoint, Published,
    blob::{self, Rendered, make_folder},
    hook::pass,
    reader::{self, LogReader, last_newline},
    reserve::{self, Need, Reserve},
};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;
use troupe_messages::{Appended, Durability, FaultKind, StorageFault};
use troupe_types::{Line, LineError, Record, is_whole_line, later_version, line_digest};

/// Why a log is not open.
pub(crate) enum OpenFailure {
    /// Another process holds it; it may let go.
    Locked,
    /// It cannot be opened.
    Fault(StorageFault),
}

/// What may stand behind the whole lines.
enum Tail {
    None,
    /// A beginning of these bytes, of a write that failed.
    Written(Vec<u8>),
    /// An incomplete last line that could not be kept elsewhere yet: so many bytes.
    Torn(u64),
}

/// Whether bytes behind the last newline are the beginning of a line that was never written to its
/// end, so that nothing was done on it. Otherwise they are a line: one that lost its end to an
/// editor, or one that was damaged later, by a loss of power or by hand.
fn is_torn(bytes: &[u8]) -> bool {
    const START: &[u8] = b"{\"seq\":";
    let begins = bytes.starts_with(START) || START.starts_with(bytes);
    begins && !bytes.iter().any(u8::is_ascii_control) && !is_whole_line(bytes)
}

/// One log as its writer has it.
pub(crate) struct LogFile {
    path: LogPath,
    published: Arc<watch::Sender<Published>>,
    hook: Option<Arc<dyn LogHook>>,
    /// With the lock. None before the first append of a new log, and while it is idle.
    file: Option<File>,
    /// Whether its file was there once: it is never made again.
    seen: bool,
    /// Whether the numbers below are known.
    known: bool,
    next_seq: u64,
    /// Bytes of whole lines.
    len: u64,
    fault: Option<StorageFault>,
    /// A sync failed, or a later program wrote to it: nothing is ever written again.
    read_only: bool,
    /// What may stand behind the whole lines, and is to be cut off before anything is written.
    tail: Tail,
    /// Folders with entries that are new since the last sync.
    folders: Vec<PathBuf>,
    blobs: Vec<PathBuf>,
    mended: Option<(u64, String)>,
    /// Room for the ends of what runs.
    reserve: Reserve,
}

/// Lines as they are to be written.
struct Ready {
    text: String,
    appended: Vec<Appended>,
    /// The room that is needed behind them.
    need: Need,
}

impl Tail {
    /// Notes what is about to be written, and gives it back.
    fn of(&mut self, bytes: Vec<u8>) -> &[u8] {
        *self = Self::Written(bytes);
        match self {
            Self::Written(bytes) => bytes,
            Self::None | Self::Torn(_) => &[],
        }
    }
}

impl LogFile {
    pub(crate) fn new(
        path: LogPath,
        published: Arc<watch::Sender<Published>>,
        hook: Option<Arc<dyn LogHook>>,
        existing: bool,
    ) -> Self {
        Self {
            path,
            published,
            hook,
            file: None,
            seen: existing,
            known: false,
            next_seq: 0,
            len: 0,
            fault: None,
            read_only: false,
            tail: Tail::None,
            folders: Vec::new(),
            blobs: Vec::new(),
            mended: None,
            reserve: Reserve::default(),
        }
    }

    pub(crate) fn path(&self) -> &LogPath {
        &self.path
    }

    pub(crate) fn fault(&self) -> Option<&StorageFault> {
        self.fault.as_ref()
    }

    /// Why this record, the next one, is refused. On a full disk there may be room left that only
    /// the ends of what runs may use.
    pub(crate) fn refuses(&self, record: &Record) -> Option<&StorageFault> {
        self.fault.as_ref().filter(|fault| {
            fault.kind != FaultKind::Full
                || !self.reserve.is_for(record)
                || !self.reserve.is_held(self.len)
        })
    }

    /// Bytes of whole lines, and the next number.
    pub(crate) fn extent(&self) -> (u64, u64) {
        (self.len, self.next_seq)
    }

    /// What was cut off when it was opened; told once.
    pub(crate) fn take_mended(&mut self) -> Option<(u64, String)> {
        self.mended.take()
    }

    /// Lets the descriptor and the lock go; the numbers are kept.
    pub(crate) fn rest(&mut self) {
        self.file = None;
    }

    /// Whether the numbers are known.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Makes the numbers known and holds the lock. A log that does not exist is made only if
    /// `create` says so.
    pub(crate) fn open(&mut self, create: bool) -> Result<(), OpenFailure> {
        if self.file.is_some() {
            return Ok(());
        }
        let place = self.path.file();
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        let file = match options.open(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.seen => {
                return Err(OpenFailure::Fault(self.removed()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known = true;
                if !create {
                    return Ok(());
                }
                self.create(&place).map_err(|error| self.failed("be made", &error))?
            }
            Err(error) => return Err(self.failed("be opened", &error)),
        };
        self.seen = true;
        match file.try_lock() {
            // What is written to a file without a name is lost.
            Ok(()) if !same_file(&file, fs::metadata(&place)) => {
                return Err(OpenFailure::Fault(self.removed()));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenFailure::Locked),
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(self.failed("be locked", &error)),
        }
        self.take_up(&file)?;
        self.file = Some(file);
        self.publish();
        Ok(())
    }

    fn removed(&self) -> StorageFault {
        let message = format!(
            "session {} was removed: {} is not there any more",
            self.path.session(),
            self.path.file().display()
        );
        StorageFault { kind: FaultKind::Io, message }
    }

    fn create(&mut self, place: &Path) -> io::Result<File> {
        // What is new in a folder is an entry of the one above it.
        self.folders.clear();
        for folder in self.path.dir().ancestors().filter(|folder| *folder != Path::new("")) {
            self.folders.push(folder.to_owned());
            if folder.exists() {
                break;
            }
        }
        make_folder(self.path.dir())?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(place)
    }

    /// Reads the numbers of an existing file, or checks that nobody else has written to it.
    fn take_up(&mut self, file: &File) -> Result<(), OpenFailure> {
        let size = file.metadata().map_err(|error| self.failed("be read", &error))?.len();
        if self.known
            && self.is_as_left(file, size).map_err(|error| self.failed("be read", &error))?
        {
            return Ok(());
        }
        if self.known && self.len > 0 {
            return Err(OpenFailure::Fault(self.changed()));
        }
        let mut whole = last_newline(file, size).map_err(|error| self.failed("be read", &error))?;
        let mut behind = vec![0; usize::try_from(size - whole).unwrap_or(0)];
        reader::read_exact_at(file, &mut behind, whole)
            .map_err(|error| self.failed("be read", &error))?;
        let mut tail = self.tail_until(whole)?;
        if let Some(version) = tail.later.max(later_version(&behind)) {
            // Left as it is, byte for byte.
            self.read_only = true;
            self.fault = Some(self.later(version));
        } else if !behind.is_empty() && !is_torn(&behind) {
            write_all_at(file, b"\n", size).map_err(|error| self.failed("be written", &error))?;
            whole = size + 1;
            tail = self.tail_until(whole)?;
        } else if whole < size {
            // Where there is no room to keep it, the log opens all the same: it is kept before
            // anything is written.
            self.tail = Tail::Torn(size - whole);
            self.mended = Some((size - whole, self.path.torn().display().to_string()));
            if let Err(error) = self.cut_torn(file, whole, size) {
                tracing::warn!(%error, "an incomplete last line cannot be kept elsewhere yet");
            }
        }
        self.next_seq = tail.next;
        self.len = whole;
        self.known = true;
        Ok(())
    }

    /// The last numbers of the lines that end here.
    fn tail_until(&self, end: u64) -> Result<reader::Tail, OpenFailure> {
        let reader = LogReader::open(&self.path).map_err(|error| self.failed("be read", &error))?;
        let tail = reader.map_or(Ok(reader::Tail::default()), |log| log.until(end).tail());
        tail.map_err(|error| self.failed("be read", &error))
    }

    /// Whether nobody else has written to the file, which has this size.
    fn is_as_left(&self, file: &File, size: u64) -> io::Result<bool> {
        let more = size.checked_sub(self.len);
        Ok(match (&self.tail, more) {
            (_, None) => false,
            (_, Some(0)) => true,
            (Tail::None, Some(_)) => false,
            (Tail::Torn(bytes), Some(more)) => more == *bytes,
            (Tail::Written(bytes), Some(more)) => {
                let Some(ours) = usize::try_from(more).ok().and_then(|more| bytes.get(..more))
                else {
                    return Ok(false);
                };
                let mut found = vec![0; ours.len()];
                reader::read_exact_at(file, &mut found, self.len)?;
                found == ours
            }
        })
    }

    fn changed(&self) -> StorageFault {
        StorageFault {
            kind: FaultKind::Busy,
            message: format!(
                "another process has written to {}: close this session and open it again",
                self.path.file().display()
            ),
        }
    }

    /// What is written to a file without its name is lost, and what another process wrote is not
    /// to be written over: it may, where the file system has no locks.
    fn check(&self) -> Result<(), StorageFault> {
        let Some(file) = &self.file else { return Ok(()) };
        let place = self.path.file();
        if !same_file(file, fs::metadata(&place)) {
            let message = format!(
                "the session's log {} was removed or moved while the session was open: nothing \
                 more is kept of it",
                place.display()
            );
            return Err(StorageFault { kind: FaultKind::Io, message });
        }
        let as_left = file.metadata().and_then(|meta| self.is_as_left(file, meta.len()));
        match as_left {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.changed()),
            Err(error) => Err(fault_of(&place, "be read", &error)),
        }
    }

    fn later(&self, version: u32) -> StorageFault {
        let reason = LineError::Version { version };
        let message =
            format!("the session's log {} is not written to: {reason}", self.path.file().display());
        StorageFault { kind: FaultKind::ReadOnly, message }
    }

    /// Keeps an incomplete last line in a file of its own, and cuts it off.
    fn cut_torn(&mut self, file: &File, whole: u64, size: u64) -> io::Result<()> {
        let mut tail = vec![0; usize::try_from(size - whole).unwrap_or(0)];
        reader::read_exact_at(file, &mut tail, whole)?;
        let mut options = fs::OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut kept = options.open(self.path.torn())?;
        kept.write_all(&tail)?;
        kept.write_all(b"\n")?;
        kept.sync_all()?;
        file.set_len(whole)?;
        self.tail = Tail::None;
        Ok(())
    }

    fn failed(&self, what: &str, error: &io::Error) -> OpenFailure {
        OpenFailure::Fault(fault_of(&self.path.file(), what, error))
    }

    /// Tries again at the next append, unless that is no use.
    pub(crate) fn retry(&mut self) {
        if !self.read_only && self.fault.take().is_some() {
            self.publish();
        }
    }

    /// Writes lines, all or none, and publishes them. `lines` carry the next numbers, in order.
    ///
    /// # Errors
    /// With the reason, which also holds for every later line until a retry.
    pub(crate) fn write(
        &mut self,
        lines: &[Line],
        durability: Durability,
    ) -> Result<Vec<Appended>, StorageFault> {
        let before = (self.len, self.next_seq);
        // A panic on the way (a full disk's allocator, a hook) is this log's alone.
        let written = catch_unwind(AssertUnwindSafe(|| {
            self.check()?;
            let (appended, need) = self
                .write_whole(lines)
                .map_err(|error| fault_of(&self.path.file(), "be written", &error))?;
            if durability == Durability::Synced {
                self.sync().map_err(|error| self.unsynced(&error))?;
            }
            Ok((appended, need))
        }));
        let (appended, need) = written.unwrap_or_else(|_| Err(self.panicked())).map_err(|fault| {
            // These lines are refused, so they must not be read either.
            (self.len, self.next_seq) = before;
            if let Err(error) = self.cut() {
                tracing::error!(%error, "a failed write is not cut off; it is before the next one");
            }
            self.refuse(fault)
        })?;
        self.tail = Tail::None;
        if let Some(file) = &self.file {
            self.reserve.written(file, self.len, need);
        }
        self.publish();
        for line in lines {
            // Only an abort can be ordered here: what is published stands.
            let hook = self.hook.as_ref();
            let passed = || pass(hook, LogPoint::AfterPublish, line.seq);
            let _published = catch_unwind(AssertUnwindSafe(passed));
        }
        Ok(appended)
    }

    /// What cannot be synced may be lost at any time: nothing is written after it.
    fn unsynced(&mut self, error: &io::Error) -> StorageFault {
        self.read_only = true;
        let mut fault = fault_of(&self.path.file(), "be synced", error);
        fault.kind = FaultKind::ReadOnly;
        fault.message.push_str("; the session is read-only from here on");
        fault
    }

    fn panicked(&self) -> StorageFault {
        let message = format!(
            "the session's log {} was not written: the writer failed",
            self.path.file().display()
        );
        StorageFault { kind: FaultKind::Io, message }
    }

    fn write_whole(&mut self, lines: &[Line]) -> io::Result<(Vec<Appended>, Need)> {
        for line in lines {
            pass(self.hook.as_ref(), LogPoint::BeforeWrite, line.seq)?;
        }
        self.cut()?;
        let Ready { text, appended, need } = self.make_ready(lines)?;
        let Some(file) = &self.file else { return Err(io::Error::other("the log is not open")) };
        let len = text.len() as u64;
        // Until it is known to be whole.
        let text = self.tail.of(text.into_bytes());
        write_all_at(file, text, self.len)?;
        self.len += len;
        self.next_seq += lines.len() as u64;
        for line in lines {
            // A failure here would contradict what is in the file; only an abort can be ordered.
            let _written = pass(self.hook.as_ref(), LogPoint::AfterWrite, line.seq);
        }
        Ok((appended, need))
    }

    /// Renders lines, and sees to it that there is room for them and for the ends of what runs. What
    /// ends something is cut to its room where there is no more.
    fn make_ready(&mut self, lines: &[Line]) -> io::Result<Ready> {
        let need = self.reserve.need_after(lines);
        let may_be_cut = lines.iter().all(|line| self.reserve.is_for(&line.record));
        let folder = self.path.folder();
        let whole = |line: &Line| blob::render(line, &folder);
        let ready = self.rendered(lines, &need, whole).and_then(|ready| {
            let Some(file) = &self.file else { return Ok(ready) };
            self.reserve.make_room(file, self.len, ready.text.len() as u64, &ready.need)?;
            Ok(ready)
        });
        match ready {
            Err(error) if may_be_cut => {
                tracing::warn!(%error, "a result is cut to the room that is kept for it");
                self.rendered(lines, &need, |line| {
                    let text = reserve::render_cut(line)?;
                    Ok(Rendered { text, files: Vec::new() })
                })
            }
            ready => ready,
        }
    }

    fn rendered(
        &mut self,
        lines: &[Line],
        need: &Need,
        render: impl Fn(&Line) -> io::Result<Rendered>,
    ) -> io::Result<Ready> {
        let mut text = String::new();
        let mut appended = Vec::with_capacity(lines.len());
        for line in lines {
            let rendered = render(line)?;
            self.blobs.extend(rendered.files);
            let offset = self.len + text.len() as u64;
            let len = rendered.text.len() as u64;
            let digest = line_digest(rendered.text.as_bytes());
            appended.push(Appended { seq: line.seq, offset: Some(offset), len, digest });
            if text.is_empty() {
                text = rendered.text;
            } else {
                text.push_str(&rendered.text);
            }
        }
        Ok(Ready { text, appended, need: need.clone() })
    }

    /// Takes the bytes of a failed write off again.
    fn cut(&mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let cut = self.cut_from(&file);
        self.file = Some(file);
        cut
    }

    fn cut_from(&mut self, file: &File) -> io::Result<()> {
        match self.tail {
            Tail::None => Ok(()),
            Tail::Torn(bytes) => self.cut_torn(file, self.len, self.len + bytes),
            Tail::Written(_) => {
                pass(self.hook.as_ref(), LogPoint::BeforeCut, self.next_seq)?;
                // What another process wrote is not ours to cut.
                let size = file.metadata()?.len();
                if !self.is_as_left(file, size)? {
                    return Err(io::Error::other("another process has written to it"));
                }
                file.set_len(self.len)?;
                self.tail = Tail::None;
                self.reserve.was_cut(file, self.len);
                Ok(())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        pass(self.hook.as_ref(), LogPoint::BeforeSync, self.next_seq.saturating_sub(1))?;
        let Some(file) = &self.file else { return Ok(()) };
        if !self.blobs.is_empty() {
            self.folders.push(self.path.folder());
        }
        for blob in self.blobs.drain(..) {
            File::open(&blob)?.sync_all()?;
        }
        if self.folders.is_empty() {
            file.sync_data()?;
        } else {
            file.sync_all()?;
            self.folders.drain(..).try_for_each(|folder| sync_folder(&folder))?;
        }
        Ok(())
    }

    /// Notes a fault, shows it, and gives it back.
    pub(crate) fn refuse(&mut self, fault: StorageFault) -> StorageFault {
        self.fault = Some(fault.clone());
        self.publish();
        fault
    }

    fn publish(&self) {
        self.published.send_if_modified(|published| {
            let new_fault = self.fault.is_some() && published.fault.is_none();
            let after = Published {
                next_seq: self.next_seq,
                offset: self.len,
                fault: self.fault.clone(),
                faults: published.faults + u64::from(new_fault),
            };
            let changed = *published != after;
            *published = after;
            changed
        });
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }
}

/// Whether a name, of which this is known, still leads to this open file.
#[cfg(unix)]
pub(crate) fn same_file(file: &File, named: io::Result<fs::Metadata>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(named)) = (file.metadata(), named) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// Whether a name, of which this is known, still leads to this open file: there it cannot lose it.
#[cfg(not(unix))]
pub(crate) fn same_file(_: &File, named: io::Result<fs::Metadata>) -> bool {
    named.is_ok()
}

#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Folders cannot be synced there; the file system keeps their entries itself.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// What a failure means, and what helps.
pub(crate) fn fault_of(file: &Path, what: &str, error: &io::Error) -> StorageFault {
    let (kind, help) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (FaultKind::Full, "; make room, then go on")
        }
        io::ErrorKind::FileTooLarge => {
            (FaultKind::Full, "; raise the limit on the size of files (`ulimit -f`), then go on")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            (FaultKind::ReadOnly, "; set TROUPE_HOME to a folder that can be written")
        }
        io::ErrorKind::PermissionDenied => {
            (FaultKind::Io, "; set TROUPE_HOME to a folder of yours")
        }
        _ => (FaultKind::Io, ""),
    };
    let message = format!("the session's log {} cannot {what}: {error}{help}", file.display());
    StorageFault { kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use troupe_types::SessionId;

    #[test]
    fn a_log_that_was_removed_is_neither_made_again_nor_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = LogPath::new(dir.path(), SessionId::from_u128(1));
        let log = || LogFile::new(path.clone(), Arc::default(), None, false);
        let removed = |opened: Result<(), OpenFailure>| match opened {
            Err(OpenFailure::Fault(fault)) => assert!(fault.message.contains("was removed")),
            Err(OpenFailure::Locked) => panic!("it is locked"),
            Ok(()) => panic!("it was opened"),
        };
        // While it waits for another process, which removes it.
        fs::write(path.file(), "").unwrap();
        let holder = File::open(path.file()).unwrap();
        holder.try_lock().unwrap();
        let mut waiting = log();
        assert!(matches!(waiting.open(true), Err(OpenFailure::Locked)));
        fs::remove_file(path.file()).unwrap();
        drop(holder);
        removed(waiting.open(true));
        // Before its writer opened it for the first time.
        let mut late = LogFile::new(path.clone(), Arc::default(), None, true);
        removed(late.open(false));
        removed(late.open(true));
        // While it rests.
        let mut resting = log();
        assert!(resting.open(true).is_ok());
        resting.rest();
        fs::remove_file(path.file()).unwrap();
        removed(resting.open(true));
        assert!(!path.file().exists());
    }
}
