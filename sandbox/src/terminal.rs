//! The host's end of a command's terminal.

#![allow(unsafe_code, reason = "reads and writes of a descriptor that no library wraps")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

/// The host's end: what is read is what the command prints, what is written is typed.
#[derive(Debug)]
pub(crate) struct TerminalEnd(AsyncFd<OwnedFd>);

impl TerminalEnd {
    pub(crate) fn new(master: OwnedFd) -> io::Result<Self> {
        // SAFETY: fcntl with integer arguments on a descriptor that is owned here.
        let set = unsafe {
            let flags = libc::fcntl(master.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(master.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
        };
        if set == -1 {
            return Err(io::Error::last_os_error());
        }
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
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
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
