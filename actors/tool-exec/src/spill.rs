//! The whole output of a call, kept in a file beside the log.
//!
//! Files are written by short jobs on blocking threads, one at a time, so that a slow disk slows
//! the process's output ([`Spill::has_room`]) and nothing else. At most [`WAITING`] bytes wait,
//! and as many are being written.

use crate::output::partial_char;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::{JoinHandle, spawn_blocking};
use troupe_types::Kept;

/// Outputs up to this size are not kept in a file; in bytes.
const SMALL: usize = 16 * 1024;
/// What is kept of an output at most, in bytes.
const MOST: u64 = 64 * 1024 * 1024;
/// What may wait to be written, in bytes, before the next part of the output is read.
const WAITING: usize = 256 * 1024;

/// Keeps an output once it is long. A failure to write is noted and breaks nothing; what was written
/// before it stays.
pub(crate) struct Spill {
    path: Arc<Path>,
    /// What came and is not written; all of it while the output is small.
    waiting: Vec<u8>,
    /// What came so far, up to [`MOST`].
    taken: u64,
    /// More came than is kept.
    more: bool,
    file: Option<File>,
    /// What the file holds, in bytes.
    written: u64,
    writing: Option<JoinHandle<io::Result<(File, u64)>>>,
    begun: bool,
    failed: Option<String>,
}

impl Spill {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path: path.into(),
            waiting: Vec::new(),
            taken: 0,
            more: false,
            file: None,
            written: 0,
            writing: None,
            begun: false,
            failed: None,
        }
    }

    /// Takes the next part of the output. Never waits.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() || self.more {
            return;
        }
        let room = usize::try_from(MOST - self.taken).unwrap_or(usize::MAX);
        self.more = bytes.len() > room;
        let bytes = if self.more { &bytes[..room - partial_char(&bytes[..room])] } else { bytes };
        self.taken += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.begun || self.waiting.len() > SMALL {
            self.write();
        }
    }

    /// Whether the next part of the output may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// Whether a part of it is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Waits until the part that is being written is written, and goes on with the next one.
    /// Cancel-safe.
    pub(crate) async fn written(&mut self) {
        let Some(writing) = &mut self.writing else { return };
        let result = writing.await;
        self.writing = None;
        match result.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((file, written)) => {
                (self.file, self.written) = (Some(file), written);
                self.write();
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// Waits until all of it is written. Cancel-safe.
    pub(crate) async fn finish(&mut self) {
        while self.is_writing() {
            self.written().await;
        }
    }

    /// What became of it; nothing for a small output. `ended`: no more of it is written from here on.
    pub(crate) fn kept(&self, ended: bool) -> Option<Kept> {
        let path = || self.path.to_path_buf();
        match &self.failed {
            Some(reason) if self.written > 0 => {
                let (bytes, reason) = (self.written, Some(reason.clone()));
                Some(Kept::Start { path: path(), bytes, reason })
            }
            Some(reason) => Some(Kept::Failed { reason: reason.clone() }),
            None if !self.begun => None,
            None if ended && self.is_writing() => {
                Some(Kept::Failed { reason: "the disk is too slow".to_owned() })
            }
            None if self.more => Some(Kept::Start { path: path(), bytes: MOST, reason: None }),
            None => Some(Kept::Whole { path: path() }),
        }
    }

    fn fail(&mut self, reason: &str) {
        tracing::warn!(reason, path = %self.path.display(), "an output is not kept");
        self.failed = Some(reason.to_owned());
        self.waiting = Vec::new();
    }

    /// Starts to write what waits, unless a part is being written.
    fn write(&mut self) {
        if self.writing.is_some() || self.waiting.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.waiting);
        let (file, path, written) = (self.file.take(), Arc::clone(&self.path), self.written);
        self.begun = true;
        self.writing = Some(spawn_blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => create(&path)?,
            };
            if let Err(error) = file.write_all(&bytes) {
                // What was whole before stays whole.
                drop(file.set_len(written));
                return Err(error);
            }
            Ok((file, written + bytes.len() as u64))
        }));
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
