//! Standard input, which may be a pipe that nobody closes: a thread of its own reads it, so that
//! signals and deadlines hold meanwhile.

use crate::patient::Patient;
use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// What is read and thrown away at most, in bytes, for a caller that writes before it listens.
const DRAINED: u64 = 256 * 1024 * 1024;

/// The size of one read, in bytes.
const CHUNK: usize = 64 * 1024;

/// What standard input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Somebody types there.
    Terminal,
    /// A pipe or a socket: another program writes, now, later or never.
    Stream,
    /// A file, which has an end.
    File,
    /// Nothing that was meant as input: `/dev/null`, another device, a folder.
    Nothing,
}

/// Standard input. Nothing is read before it is asked for.
#[derive(Debug)]
pub struct StandardInput {
    source: Source,
    incoming: Mutex<Option<Incoming>>,
    /// The waiting for it is over, so a caller cannot count on it any more.
    given_up: AtomicBool,
}

impl StandardInput {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(source())
    }

    fn new(source: Source) -> Self {
        Self { source, incoming: Mutex::default(), given_up: AtomicBool::new(false) }
    }

    /// Reads `stream` in place of the process's own input.
    ///
    /// # Errors
    /// When there can be no further thread.
    #[cfg(test)]
    pub(crate) fn of(source: Source, stream: impl Read + Send + 'static) -> io::Result<Self> {
        let input = Self::new(source);
        *input.incoming.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Incoming::read(stream)?);
        Ok(input)
    }

    /// What it is.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Starts to read, if it has not been started.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub(crate) fn incoming(&self) -> io::Result<Incoming> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = &*incoming {
            return Ok(begun.clone());
        }
        let begun = Incoming::read(Patient(stream()?))?;
        *incoming = Some(begun.clone());
        Ok(begun)
    }

    /// Nobody waits for it any more.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Takes what a caller writes that listens only after it has written everything, so that it
    /// is not cut off by a run that ends early. Ends at the input's end, after `patience`, or after
    /// 256 MiB; at once where no caller can be hurt.
    pub async fn drain(&self, patience: Duration) {
        if self.source != Source::Stream || self.given_up.load(Ordering::Acquire) {
            return;
        }
        let Ok(incoming) = self.incoming() else { return };
        incoming.throw_away();
        drop(timeout(patience, incoming.clone().ended()).await);
    }
}

/// What has come so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    bytes: u64,
    ended: bool,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: Vec<u8>,
    failed: Option<io::Error>,
    /// Nobody wants it: what comes is thrown away.
    unwanted: bool,
}

/// A stream that a thread reads.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    progress: watch::Receiver<Progress>,
    taken: Arc<Mutex<Taken>>,
}

impl Incoming {
    /// The most that is kept, in bytes: no model's window holds more.
    pub(crate) const MOST: u64 = 16 * 1024 * 1024;

    fn read(stream: impl Read + Send + 'static) -> io::Result<Self> {
        let (told, progress) = watch::channel(Progress::default());
        let taken = Arc::new(Mutex::new(Taken::default()));
        let place = Arc::clone(&taken);
        std::thread::Builder::new()
            .name("input".to_owned())
            .stack_size(CHUNK + 128 * 1024)
            .spawn(move || take_all(stream, &place, &told))?;
        Ok(Self { progress, taken })
    }

    /// Bytes that have come so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.progress.borrow().bytes
    }

    /// Waits for the first byte, or the end.
    pub(crate) async fn begun(&mut self) {
        let begun = |progress: &Progress| progress.bytes > 0 || progress.ended;
        // The thread tells the end before it goes.
        drop(self.progress.wait_for(begun).await);
    }

    /// Waits for the end, or for more than is kept.
    pub(crate) async fn whole(&mut self) {
        let whole = |progress: &Progress| progress.bytes > Self::MOST || progress.ended;
        drop(self.progress.wait_for(whole).await);
    }

    async fn ended(mut self) {
        drop(self.progress.wait_for(|progress| progress.ended).await);
    }

    /// What was kept: at most one byte more than [`Incoming::MOST`].
    ///
    /// # Errors
    /// When it could not be read to its end.
    pub(crate) fn take(&self) -> io::Result<Vec<u8>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.failed.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut taken.bytes)),
        }
    }

    fn throw_away(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.unwanted = true;
        taken.bytes = Vec::new();
    }
}

fn take_all(mut stream: impl Read, taken: &Mutex<Taken>, told: &watch::Sender<Progress>) {
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    while bytes < DRAINED {
        let count = match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                taken.lock().unwrap_or_else(PoisonError::into_inner).failed = Some(error);
                break;
            }
        };
        bytes += count as u64;
        {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = taken.bytes.len() as u64;
            if !taken.unwanted && kept <= Incoming::MOST {
                let place = usize::try_from(Incoming::MOST + 1 - kept).unwrap_or(usize::MAX);
                taken.bytes.extend_from_slice(&chunk[..count.min(place)]);
            }
        }
        told.send_replace(Progress { bytes, ended: false });
    }
    told.send_replace(Progress { bytes, ended: true });
}

#[cfg(unix)]
fn source() -> Source {
    use std::os::unix::fs::FileTypeExt;
    if io::stdin().is_terminal() {
        return Source::Terminal;
    }
    let kind = stream().and_then(|file| file.metadata()).map(|metadata| metadata.file_type());
    match kind {
        Ok(kind) if kind.is_fifo() || kind.is_socket() => Source::Stream,
        Ok(kind) if kind.is_file() => Source::File,
        Ok(_) | Err(_) => Source::Nothing,
    }
}

#[cfg(not(unix))]
fn source() -> Source {
    if io::stdin().is_terminal() { Source::Terminal } else { Source::Stream }
}

#[cfg(unix)]
fn stream() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn stream() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}
