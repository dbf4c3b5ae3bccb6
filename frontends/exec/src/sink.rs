//! Text on its way to a stream whose reader may stall: a thread of its own writes, so that signals
//! are acted on meanwhile.

use serde_json::Value;
use std::{
    collections::VecDeque,
    io::{self, BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Chunks that may wait for the thread. The rest stays in the session's log, so memory is flat.
const WAITING: usize = 16;

/// What is written at once, in bytes.
const BLOCK: usize = 32 * 1024;

/// Output on its way.
#[derive(Debug)]
enum Chunk {
    Text(Vec<u8>),
    /// Becomes a line where it is written, so that its text is never there twice: it may be long.
    Line(Value),
}

/// A stream that is written to in the background, in order.
#[derive(Debug)]
pub struct Sink {
    pending: VecDeque<Chunk>,
    chunks: mpsc::Sender<Chunk>,
    /// The first failure, or none, once everything is written.
    written: oneshot::Receiver<io::Result<()>>,
    taken: Taken,
}

/// Counts the bytes that the reader has taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken(Arc<AtomicU64>);

impl Taken {
    /// Waits until the reader has taken nothing for so long.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let before = self.0.load(Ordering::Relaxed);
            tokio::time::sleep(patience).await;
            if self.0.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

struct Counted<W> {
    stream: W,
    taken: Taken,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.taken.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Sink {
    /// Starts the thread that writes to `stream`.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn new(stream: impl Write + Send + 'static) -> io::Result<Self> {
        let (chunks, queue) = mpsc::channel(WAITING);
        let (done, written) = oneshot::channel();
        let taken = Taken::default();
        let stream = Counted { stream, taken: taken.clone() };
        std::thread::Builder::new().name("output".to_owned()).stack_size(128 * 1024).spawn(
            move || {
                // Nobody waits for it any more if the process ends early.
                drop(done.send(write_all(stream, queue)));
            },
        )?;
        Ok(Self { pending: VecDeque::new(), chunks, written, taken })
    }

    /// How far its reader is.
    pub(crate) fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// A way to the stream for another thread.
    #[must_use]
    pub fn side_door(&self) -> SideDoor {
        SideDoor(self.chunks.downgrade())
    }

    /// Adds text; it goes out with the next [`Sink::pass_on`].
    pub fn push(&mut self, text: &str) {
        match self.pending.back_mut() {
            Some(Chunk::Text(pending)) => pending.extend_from_slice(text.as_bytes()),
            _ => self.pending.push_back(Chunk::Text(text.into())),
        }
    }

    /// Adds a value as a line of JSON.
    pub(crate) fn push_line(&mut self, value: Value) {
        self.pending.push_back(Chunk::Line(value));
    }

    /// Hands what was added to the thread. Waits while the reader is slow; giving up the waiting
    /// loses nothing.
    pub async fn pass_on(&mut self) {
        while !self.pending.is_empty() {
            match self.chunks.reserve().await {
                Ok(place) => {
                    if let Some(chunk) = self.pending.pop_front() {
                        place.send(chunk);
                    }
                }
                // The thread ended at a failure, which `finish` tells.
                Err(_) => self.pending.clear(),
            }
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
pub struct SideDoor(mpsc::WeakSender<Chunk>);

impl SideDoor {
    /// Writes it, unless the reader is too slow or the sink is finished.
    pub fn write(&self, lines: String) {
        if let Some(chunks) = self.0.upgrade() {
            let _full = chunks.try_send(Chunk::Text(lines.into_bytes()));
        }
    }
}

fn write_all(stream: impl Write, queue: mpsc::Receiver<Chunk>) -> io::Result<()> {
    let mut stream = BufWriter::with_capacity(BLOCK, stream);
    let written = write_chunks(&mut stream, queue);
    // After a failure nothing more is written, not even what is left in the buffer.
    drop(stream.into_parts());
    written
}

#[expect(clippy::disallowed_methods, reason = "the sink's own thread")]
fn write_chunks(
    stream: &mut BufWriter<impl Write>,
    mut queue: mpsc::Receiver<Chunk>,
) -> io::Result<()> {
    while let Some(chunk) = queue.blocking_recv() {
        match chunk {
            Chunk::Text(text) => stream.write_all(&text)?,
            Chunk::Line(value) => {
                serde_json::to_writer(&mut *stream, &value)?;
                stream.write_all(b"\n")?;
            }
        }
        // What waits behind it goes with it.
        if queue.is_empty() {
            stream.flush()?;
        }
    }
    Ok(())
}
