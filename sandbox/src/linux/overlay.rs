//! Folders of which a command gets a copy: what it writes stays in memory.

use super::mounts::mount;
use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Mounts a copy over the folder; gives where its changes are kept, below `store`, which is made.
pub(crate) fn mount_overlay(path: &Path, store: &Path) -> io::Result<PathBuf> {
    let (upper, work) = (store.join("upper"), store.join("work"));
    for folder in [store, &upper, &work] {
        fs::create_dir(folder)?;
    }
    let mut data = b"userxattr,lowerdir=".to_vec();
    for byte in path.as_os_str().as_bytes() {
        // Separators of the options and of the folders in them.
        if matches!(byte, b'\\' | b':' | b',') {
            data.push(b'\\');
        }
        data.push(*byte);
    }
    for (name, folder) in [(&b",upperdir="[..], &upper), (b",workdir=", &work)] {
        data.extend_from_slice(name);
        data.extend_from_slice(folder.as_os_str().as_bytes());
    }
    let data = CString::new(data).map_err(io::Error::other)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount(Some(c"overlay"), path, Some(c"overlay"), flags, Some(&data))?;
    Ok(upper)
}
