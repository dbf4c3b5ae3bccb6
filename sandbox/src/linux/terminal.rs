//! A command's terminal: made where the command runs, so that its name means something there.

use super::sys::check;
use std::{
    fs, io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

/// Its size: what programs assume where they are told nothing.
const SIZE: libc::winsize = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// Both ends of a terminal.
pub(super) struct Terminal {
    /// The host's.
    pub(super) master: OwnedFd,
    /// The command's.
    pub(super) slave: OwnedFd,
}

/// Makes a terminal.
pub(super) fn open() -> io::Result<Terminal> {
    let flags = libc::O_NOCTTY | libc::O_CLOEXEC;
    let ptmx = fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/ptmx");
    let master = OwnedFd::from(ptmx?);
    let (unlock, size): (libc::c_int, _) = (0, SIZE);
    // SAFETY: integers and structures that live for the time of each call, of the kind it reads.
    unsafe {
        check(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock))?;
        check(libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size))?;
        let slave =
            check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, libc::O_RDWR | flags))?;
        Ok(Terminal { master, slave: OwnedFd::from_raw_fd(slave) })
    }
}

/// Makes standard input the terminal of this process's session.
pub(super) fn take() -> io::Result<()> {
    // SAFETY: an integer argument.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }).map(|_| ())
}
