//! A Unix socket that answers each connection with the tree.

use super::document;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::UnixListener};
use troupe::Troupe;

/// The longest path a socket address takes on every system, with room to spare.
const ADDRESS: usize = 100;

/// A socket that answers each connection with the tree as one JSON document. Removed when dropped.
pub(crate) struct TreeSocket {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl TreeSocket {
    /// Serves the tree of `troupe` in `runtime_dir`.
    ///
    /// # Errors
    /// When the folder or the socket cannot be made.
    pub(crate) fn serve(troupe: &Troupe, runtime_dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(runtime_dir)?;
        let path = runtime_dir.join(format!("{}.sock", std::process::id()));
        drop(fs::remove_file(&path));
        let folder = fs::File::open(runtime_dir)?;
        let listener = UnixListener::bind(address(&path, &folder))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let troupe = troupe.clone();
        #[expect(clippy::disallowed_methods, reason = "an edge of the front end, aborted with it")]
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = document(&troupe).to_string();
                // A reader that went away is no concern of ours; one that stalls is left.
                let write = stream.write_all(answer.as_bytes());
                drop(tokio::time::timeout(Duration::from_secs(1), write).await);
            }
        });
        Ok(Self { path, task })
    }
}

impl Drop for TreeSocket {
    fn drop(&mut self) {
        self.task.abort();
        drop(fs::remove_file(&self.path));
    }
}

/// The path itself, or a shorter one to the same socket.
pub(crate) fn address(path: &Path, folder: &fs::File) -> PathBuf {
    use std::os::fd::AsRawFd;
    let name = path.file_name().unwrap_or_default();
    if path.as_os_str().len() > ADDRESS && cfg!(target_os = "linux") {
        return Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    }
    path.to_owned()
}
