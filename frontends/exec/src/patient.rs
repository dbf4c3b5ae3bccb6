//! Streams whose other end made them non-blocking: the mode belongs to the open file, so a parent
//! (ssh, Node, a shell after such a program) sets it for its children as well.

use std::io::{self, Read, Write};

/// A stream whose reads and writes wait, whatever its mode is.
#[derive(Debug)]
pub struct Patient<T>(pub T);

/// A stream that can be waited for.
#[cfg(unix)]
pub trait Awaited: std::os::fd::AsFd {}
#[cfg(unix)]
impl<T: std::os::fd::AsFd> Awaited for T {}

/// A stream that can be waited for. Here all of them block.
#[cfg(not(unix))]
pub trait Awaited {}
#[cfg(not(unix))]
impl<T> Awaited for T {}

impl<T: Read + Awaited> Read for Patient<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready(&self.0, Wanted::Read)?;
                }
                read => return read,
            }
        }
    }
}

impl<T: Write + Awaited> Write for Patient<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready(&self.0, Wanted::Write)?;
                }
                wrote => return wrote,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        loop {
            match self.0.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready(&self.0, Wanted::Write)?;
                }
                flushed => return flushed,
            }
        }
    }
}

/// What a stream is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Read,
    Write,
}

/// Waits until the stream can go on, or cannot any more: the next call tells which.
#[cfg(unix)]
fn ready(stream: &impl Awaited, wanted: Wanted) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let wanted = match wanted {
        Wanted::Read => PollFlags::IN,
        Wanted::Write => PollFlags::OUT,
    };
    match poll(&mut [PollFd::new(stream, wanted)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn ready(_stream: &impl Awaited, _wanted: Wanted) -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::Patient;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    #[test]
    fn streams_that_do_not_block_are_waited_for() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        // More than the socket holds, so that both sides have to wait.
        let sent = vec![b'x'; 4 << 20];
        let copy = sent.clone();
        let writer = std::thread::spawn(move || {
            let mut stream = Patient(theirs);
            stream.write_all(&copy).and_then(|()| stream.flush())
        });
        let mut got = Vec::new();
        Patient(ours).read_to_end(&mut got).unwrap();
        writer.join().unwrap().unwrap();
        assert!(got == sent);
    }
}
