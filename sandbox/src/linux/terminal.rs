//! A command's terminal: made where the command runs, so that its name means something there.

use super::sys::check;
use std::{
    fs, io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

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

/// The host's end: what is read is what the command prints, what is written is typed.
#[derive(Debug)]
pub(super) struct TerminalEnd(AsyncFd<OwnedFd>);

impl TerminalEnd {
    pub(super) fn new(master: OwnedFd) -> io::Result<Self> {
        super::sys::set_nonblocking(std::os::fd::AsFd::as_fd(&master))?;
        Self::of(master)
    }

    fn of(master: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned, so it is open until the value is dropped.
        Ok(Self(unsafe { AsyncFd::register(master) }?))
    }

    /// A second handle of the same end.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Self::of(self.0.get_ref().try_clone()?)
    }
}

impl AsyncRead for TerminalEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let room = buffer.initialize_unfilled();
            let read = ready.try_io(|fd| {
                let (room, len) = (room.as_mut_ptr(), room.len());
                // SAFETY: `room` has room for that many bytes.
                let count = unsafe { libc::read(fd.as_raw_fd(), room.cast(), len) };
                usize::try_from(count).map_err(|_| io::Error::last_os_error())
            });
            match read {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Nobody holds the other end any more.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for TerminalEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            let written = ready.try_io(|fd| {
                // SAFETY: `bytes` holds that many bytes.
                let count =
                    unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
                usize::try_from(count).map_err(|_| io::Error::last_os_error())
            });
            match written {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
