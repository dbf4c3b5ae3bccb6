//! Text on its way to a stream whose reader may stall: a thread of its own writes, so that signals
//! are acted on meanwhile.

use std::io::{self, Write};
use tokio::sync::{mpsc, oneshot};

/// Chunks that may wait for the thread. The rest stays in the session's log, so memory is flat.
const WAITING: usize = 16;

/// A stream that is written to in the background, in order.
#[derive(Debug)]
pub struct Sink {
    pending: Vec<u8>,
    chunks: mpsc::Sender<Vec<u8>>,
    /// The first failure, or none, once everything is written.
    written: oneshot::Receiver<io::Result<()>>,
}

impl Sink {
    /// Starts the thread that writes to `stream`.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn new(stream: impl Write + Send + 'static) -> io::Result<Self> {
        let (chunks, queue) = mpsc::channel(WAITING);
        let (done, written) = oneshot::channel();
        std::thread::Builder::new().name("output".to_owned()).stack_size(128 * 1024).spawn(
            move || {
                // Nobody waits for it any more if the process ends early.
                drop(done.send(write_all(stream, queue)));
            },
        )?;
        Ok(Self { pending: Vec::new(), chunks, written })
    }

    /// A way to the stream for another thread.
    #[must_use]
    pub fn side_door(&self) -> SideDoor {
        SideDoor(self.chunks.downgrade())
    }

    /// Adds text; it goes out with the next [`Sink::pass_on`].
    pub fn push(&mut self, text: &str) {
        self.pending.extend_from_slice(text.as_bytes());
    }

    /// Adds what `write` writes, without a copy.
    pub(crate) fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) {
        let written = write(&mut self.pending);
        debug_assert!(written.is_ok(), "a vector takes all");
    }

    /// Hands what was added to the thread. Waits while the reader is slow; giving up the waiting
    /// loses nothing.
    pub async fn pass_on(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match self.chunks.reserve().await {
            Ok(place) => place.send(std::mem::take(&mut self.pending)),
            // The thread ended at a failure, which `finish` tells.
            Err(_) => self.pending.clear(),
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// The first failure; what came after it is not written.
    pub async fn finish(mut self) -> io::Result<()> {
        self.pass_on().await;
        drop(self.chunks);
        self.written.await.unwrap_or_else(|_| Err(io::Error::other("the writing thread ended")))
    }
}

/// Writes whole lines between those of a [`Sink`], from any thread. It does not keep the sink open.
#[derive(Debug, Clone)]
pub struct SideDoor(mpsc::WeakSender<Vec<u8>>);

impl SideDoor {
    /// Writes it, unless the reader is too slow or the sink is finished.
    pub fn write(&self, lines: String) {
        if let Some(chunks) = self.0.upgrade() {
            let _full = chunks.try_send(lines.into_bytes());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the sink's own thread")]
fn write_all(mut stream: impl Write, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(chunk) = queue.blocking_recv() {
        stream.write_all(&chunk)?;
        stream.flush()?;
    }
    Ok(())
}
