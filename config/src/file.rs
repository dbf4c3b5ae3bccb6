//! Files of settings and rules, read in full or refused: what is there and cannot be used is never
//! taken for what is not there.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The largest file of settings that is read, in bytes.
pub const MAX_SETTINGS_FILE: u64 = 1 << 20;

/// Why a file that is there cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system refuses.
    #[error("it cannot be read: {0}. Make it readable for you, or remove it")]
    Refused(#[source] io::Error),
    /// A link to nothing.
    #[error("it is a link to {}, which does not exist. Correct or remove the link", .0.display())]
    Dangling(PathBuf),
    /// Something that is no file.
    #[error("it is {0}, not a file. Put a file in its place, or remove it")]
    NotAFile(&'static str),
    /// More than [`MAX_SETTINGS_FILE`].
    #[error("it is larger than {} KiB, which is the most that is read", MAX_SETTINGS_FILE / 1024)]
    TooLarge,
    /// Bytes that are no text.
    #[error("the text is not UTF-8. Save the file as UTF-8")]
    NotText {
        /// The line, from 1.
        line: usize,
    },
}

impl Unreadable {
    /// The line that is meant, from 1, where there is one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::NotText { line } => Some(*line),
            _ => None,
        }
    }
}

/// Reads a file; `None` if there is nothing at that path. Never waits: what is no file is not opened.
///
/// # Errors
/// When something is there that cannot be used.
pub fn read_settings(path: &Path) -> Result<Option<String>, Unreadable> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if is_nothing(&error) => return dangling(path),
        Err(error) => return Err(Unreadable::Refused(error)),
    };
    // Opening a named pipe would wait for a writer.
    is_file(&found)?;
    let file = File::open(path).map_err(Unreadable::Refused)?;
    is_file(&file.metadata().map_err(Unreadable::Refused)?)?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_SETTINGS_FILE + 1).read_to_end(&mut bytes);
    read.map_err(Unreadable::Refused)?;
    if bytes.len() as u64 > MAX_SETTINGS_FILE {
        return Err(Unreadable::TooLarge);
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let fine = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = fine.iter().filter(|byte| **byte == b'\n').count() + 1;
        Unreadable::NotText { line }
    })
}

/// The paths of the files in a folder that end in `.toml`, sorted; none if there is no such folder.
///
/// # Errors
/// When something is there that cannot be listed.
pub fn settings_in(folder: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_nothing(&error) => return dangling(folder).map(|_| Vec::new()),
        Err(error) => return Err(Unreadable::Refused(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Unreadable::Refused)?.path();
        // Emacs marks what it edits with a link to nowhere (`.#name`).
        let mark = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".#"));
        if !mark && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is_nothing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// What looks like nothing may be a link to nothing, somewhere on the way.
fn dangling(path: &Path) -> Result<Option<String>, Unreadable> {
    for part in path.ancestors() {
        match fs::symlink_metadata(part) {
            Ok(found) if found.is_symlink() && !part.exists() => {
                return Err(Unreadable::Dangling(fs::read_link(part).unwrap_or_default()));
            }
            Ok(_) => break,
            Err(_) => {}
        }
    }
    Ok(None)
}

fn is_file(found: &Metadata) -> Result<(), Unreadable> {
    if found.is_file() { Ok(()) } else { Err(Unreadable::NotAFile(kind(found))) }
}

#[cfg(unix)]
fn kind(found: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    }
}

#[cfg(not(unix))]
fn kind(found: &Metadata) -> &'static str {
    if found.is_dir() { "a folder" } else { "something else" }
}
