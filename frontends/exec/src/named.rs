//! Files that the user names: pictures, schemas.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The longest file that is read, in bytes.
const MOST: u64 = 16 << 20;

/// Opens a file. A pipe with a name or a device is refused, since reading it could wait for ever; a
/// pipe that a shell made (`<(…)`) has no name and is read.
///
/// # Errors
/// When there is no such file, or it cannot be read.
pub fn open_named(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = std::fs::metadata(path)?.file_type();
        if kind.is_fifo() && path.canonicalize().is_ok() {
            return Err(io::Error::other("it is a named pipe, not a file"));
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Err(io::Error::other("it is a device, not a file"));
        }
    }
    File::open(path)
}

/// The text of a file, at most 16 MiB.
///
/// # Errors
/// When it cannot be opened, is longer, or is not UTF-8.
pub fn read_named(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = open_named(path)?.take(MOST + 1).read_to_string(&mut text)?;
    if read as u64 > MOST {
        return Err(io::Error::other(format!("it has more than {} MiB", MOST >> 20)));
    }
    Ok(text)
}
