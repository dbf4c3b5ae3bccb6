//! The whole output of a call, kept in a file beside the log.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Outputs up to this size are not kept in a file; in bytes.
const SMALL: usize = 16 * 1024;
/// What is kept of an output at most, in bytes.
const MOST: u64 = 64 * 1024 * 1024;

/// Keeps an output once it is long. A failure to write is noted and breaks nothing.
pub(crate) struct Spill {
    path: PathBuf,
    /// What came before there was a file.
    small: Vec<u8>,
    file: Option<File>,
    written: u64,
    failed: Option<String>,
}

impl Spill {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, small: Vec::new(), file: None, written: 0, failed: None }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.file.is_none() && self.small.len() + bytes.len() <= SMALL {
            return self.small.extend_from_slice(bytes);
        }
        if self.failed.is_some() || self.written >= MOST {
            return;
        }
        if let Err(error) = self.write(bytes) {
            tracing::warn!(%error, path = %self.path.display(), "an output is not kept");
            self.failed = Some(error.to_string());
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = self.file.insert(create(&self.path)?);
                let small = std::mem::take(&mut self.small);
                file.write_all(&small)?;
                self.written = small.len() as u64;
                file
            }
        };
        let room = usize::try_from(MOST - self.written.min(MOST)).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// The file, if there is one that is whole so far as it goes.
    pub(crate) fn kept_in(&self) -> Option<&Path> {
        (self.file.is_some() && self.failed.is_none()).then_some(&self.path)
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
