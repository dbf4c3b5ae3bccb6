//! Paths as written, as absolute names, and as physical places.
//!
//! Names are made absolute by text alone (`a/../b` is `b`, whether or not `a` exists), so that the
//! path a policy judges is the path that is used. Links are resolved afterwards, by asking.

use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use crate::file_system::{FileSystem, Kind};

/// Links followed by hand before we call it a loop, as many as Linux allows.
const MAX_LINKS: u32 = 40;

/// `raw` below `cwd` (or as it is, if absolute), with `.` and `..` taken out.
pub(crate) fn absolute(cwd: &Path, raw: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in cwd.join(raw).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}

/// Where reading and writing `path` really happens. Links are followed, also one in the last
/// component that points to nothing yet; parts that do not exist stay as they are.
pub(crate) fn resolve(fs: &dyn FileSystem, path: &Path) -> io::Result<PathBuf> {
    resolve_within(fs, path, MAX_LINKS)
}

/// The place of the directory entry itself: links are followed in the parents only.
pub(crate) fn resolve_entry(fs: &dyn FileSystem, path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(resolve(fs, parent)?.join(name)),
        _ => Ok(path.to_path_buf()),
    }
}

fn resolve_within(fs: &dyn FileSystem, path: &Path, links: u32) -> io::Result<PathBuf> {
    match fs.canonicalize(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        found => return found,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(path.to_path_buf());
    };
    if fs.kind(path)? == Kind::Symlink {
        let left = links.checked_sub(1).ok_or_else(|| io::Error::other("too many links"))?;
        let target = fs.read_link(path)?;
        return resolve_within(fs, &absolute(parent, &target.to_string_lossy()), left);
    }
    Ok(resolve_within(fs, parent, links)?.join(name))
}
