//! A folder on the path of commands in which this program is called `apply_patch`.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Makes the folder, unless it is there. Without it commands lack one convenience.
pub(crate) fn ensure(state_dir: &Path) -> Option<PathBuf> {
    let folder = state_dir.join("bin");
    match make(&folder) {
        Ok(()) => Some(folder),
        Err(error) => {
            tracing::debug!(%error, "commands will not find apply_patch");
            None
        }
    }
}

#[cfg(unix)]
fn make(folder: &Path) -> io::Result<()> {
    use std::{fs, os::unix::fs::DirBuilderExt};
    let own = std::env::current_exe()?;
    let link = folder.join("apply_patch");
    if fs::read_link(&link).is_ok_and(|target| target == own) {
        return Ok(());
    }
    // What is first on the path of commands is nobody else's to write, whatever the mask of new files.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Replaced in one step: others may be starting a command just now.
    let fresh = folder.join(format!(".apply_patch-{}", std::process::id()));
    drop(fs::remove_file(&fresh));
    std::os::unix::fs::symlink(own, &fresh)?;
    fs::rename(fresh, link)
}

#[cfg(not(unix))]
fn make(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
