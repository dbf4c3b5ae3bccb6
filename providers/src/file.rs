//! Files that the settings of a provider name, read in full or refused.

use std::{
    fs::{self, File, Metadata},
    io::Read,
    path::Path,
};

/// The longest file that is read, in bytes.
const MOST: u64 = 16 << 20;

/// Reads a file. A pipe with a name or a device is refused, since reading it could wait for ever; a
/// pipe that a shell made (`<(…)`) has none and is read.
///
/// # Errors
/// Why it cannot be read, for people.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if let Some(kind) = unreadable(&found, path) {
        return Err(format!("it is {kind}, not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST {
        return Err(format!("it has more than {} MiB", MOST >> 20));
    }
    Ok(bytes)
}

fn unreadable(found: &Metadata, path: &Path) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = found.file_type();
        if kind.is_fifo() && path.canonicalize().is_ok() {
            return Some("a named pipe");
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Some("a device");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    found.is_dir().then_some("a folder")
}

#[cfg(test)]
mod tests {
    use super::{MOST, read};
    use std::{fs, path::Path};

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().contains("a folder"));
        assert!(read(&folder.path().join("none")).is_err());
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        assert_eq!(read(&file).unwrap(), b"text");
        fs::File::options().write(true).open(&file).unwrap().set_len(MOST + 1).unwrap();
        assert!(read(&file).unwrap_err().contains("more than 16 MiB"));
        #[cfg(unix)]
        {
            assert!(read(Path::new("/dev/zero")).unwrap_err().contains("a device"));
            let socket = folder.path().join("socket");
            let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            assert!(read(&socket).unwrap_err().contains("a socket"));
        }
    }
}
