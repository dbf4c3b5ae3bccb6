//! A directory that stays what it was when it was opened: a link put in its place, or in the place of
//! one above it, is not followed.

#[cfg(target_os = "linux")]
pub(crate) use linux::Anchor;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::Anchor;

#[cfg(target_os = "linux")]
mod linux {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::Errno;
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::path::{Path, PathBuf};

    /// An open directory.
    pub(crate) struct Anchor {
        path: PathBuf,
        /// `None` where the kernel has no `openat2` (before 5.6, or refused by a filter).
        _folder: Option<OwnedFd>,
    }

    impl Anchor {
        /// Opens a directory whose path (absolute) holds no links.
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve) {
                Ok(folder) => {
                    let path = format!("/proc/self/fd/{}", folder.as_raw_fd()).into();
                    Ok(Self { path, _folder: Some(folder) })
                }
                Err(Errno::NOSYS | Errno::PERM) => {
                    Ok(Self { path: path.to_path_buf(), _folder: None })
                }
                Err(Errno::LOOP) => Err(io::Error::other(
                    "a directory on the way to it was replaced by a link after the patch was checked",
                )),
                Err(error) => Err(error.into()),
            }
        }

        /// A path that leads to the directory and nowhere else, as long as this lives.
        pub(crate) fn path(&self) -> &Path {
            &self.path
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::path::{Path, PathBuf};

    /// A directory, by its name: this system has no better.
    pub(crate) struct Anchor(PathBuf);

    impl Anchor {
        #[expect(clippy::unnecessary_wraps, reason = "the same form as elsewhere")]
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            Ok(Self(path.to_path_buf()))
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }
}
