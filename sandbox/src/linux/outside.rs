//! Sockets in the file system that programs outside listen at: whoever connects to one reaches past
//! the sandbox, and neither mounts nor Landlock (before its ninth version) hold that.

use crate::profile::Profile;
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// The most sockets that are hidden.
const MOST: usize = 500;

/// The sockets that are bound now, but those in the workspace's own folders: what is put there is
/// for its programs. `/tmp` is nobody's own.
pub(crate) fn sockets(profile: &Profile) -> Vec<PathBuf> {
    let own =
        |path: &Path| profile.roots.iter().any(|root| !root.shared && path.starts_with(&root.path));
    let text = fs::read("/proc/net/unix").unwrap_or_default();
    let mut found = Vec::new();
    let mut relative = Vec::new();
    for line in text.split(|byte| *byte == b'\n').skip(1) {
        let Some(path) = path_of(line) else { continue };
        if path.starts_with('/') {
            found.push(PathBuf::from(path));
        } else {
            relative.push(path);
        }
    }
    if !relative.is_empty() {
        let folders = working_directories();
        for path in relative {
            found.extend(folders.iter().map(|folder| folder.join(&path)));
        }
    }
    let mut sockets: Vec<PathBuf> = found
        .into_iter()
        .filter_map(|path| path.canonicalize().ok())
        .filter(|path| !own(path) && is_socket(path))
        .collect();
    sockets.sort();
    sockets.dedup();
    sockets.truncate(MOST);
    sockets
}

/// The last column after `Num RefCount Protocol Flags Type St Inode`, if the socket has a name in
/// the file system.
fn path_of(line: &[u8]) -> Option<String> {
    let mut rest = line;
    for _ in 0..7 {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| *byte == b' ')?;
        rest = &rest[end..];
    }
    let path = String::from_utf8(rest.get(1..)?.to_vec()).ok()?;
    (!path.is_empty() && !path.starts_with('@')).then_some(path)
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket())
}

/// Where programs are: a socket may be bound by a name relative to that.
fn working_directories() -> Vec<PathBuf> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut seen = Vec::new();
    let mut folders = Vec::new();
    for process in processes.flatten() {
        if process.file_name().to_str().is_none_or(|name| name.parse::<u32>().is_err()) {
            continue;
        }
        let Ok(folder) = fs::read_link(process.path().join("cwd")) else { continue };
        let Ok(data) = fs::metadata(&folder) else { continue };
        if !seen.contains(&(data.dev(), data.ino())) {
            seen.push((data.dev(), data.ino()));
            folders.push(folder);
        }
    }
    folders
}
