//! Reading a process's outputs: head and tail for the model, the whole into a file, the latest for
//! front ends.
//!
//! The next part is read when there is room for it, so that a slow disk slows the process and
//! memory stays flat.

use crate::{
    Args,
    news::News,
    output::{CAPTURE_BYTES, HeadTail, Kept},
    spill::Spill,
};
use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, sleep_until, timeout_at},
};
use troupe_kit::Ring;
use troupe_types::{CallId, OutputStream, Progress};

/// How often front ends are shown what came.
const SHOW: Duration = Duration::from_millis(50);
/// Read at once, in bytes.
const CHUNK: usize = 64 * 1024;

type Outputs = Vec<(OutputStream, Box<dyn AsyncRead + Send + Unpin>)>;

/// What was read so far, and what it is read from.
pub(crate) struct Reading {
    call: CallId,
    progress: Ring<Progress>,
    streams: Streams,
    output: HeadTail,
    spill: Spill,
    news: News,
    /// When front ends may be shown something again.
    show_at: Instant,
}

impl Reading {
    pub(crate) fn new(args: &Args, outputs: Outputs) -> Self {
        let call = args.call.call;
        Self {
            call,
            progress: args.progress.clone(),
            streams: Streams { open: outputs, turn: 0, chunk: vec![0; CHUNK] },
            output: HeadTail::new(CAPTURE_BYTES),
            spill: Spill::new(args.folder.join(format!("{call}.out"))),
            news: News::default(),
            show_at: Instant::now(),
        }
    }

    /// Head and tail of what was read.
    pub(crate) fn output(&self) -> &HeadTail {
        &self.output
    }

    /// Forgets what was read so far, once it was told.
    pub(crate) fn forget(&mut self) {
        self.output = HeadTail::new(CAPTURE_BYTES);
    }

    /// What became of the whole.
    pub(crate) fn kept(&self) -> Option<Kept<'_>> {
        self.spill.kept()
    }

    /// Reads for as long as it is asked to. Cancel-safe.
    pub(crate) async fn go_on(&mut self) -> Infallible {
        loop {
            self.step().await;
        }
    }

    /// Reads until the outputs end or the time is up.
    pub(crate) async fn drain(&mut self, until: Instant) {
        while self.streams.any_open() {
            // The clock first: there may always be more.
            if Instant::now() >= until || timeout_at(until, self.step()).await.is_err() {
                return;
            }
        }
    }

    /// Shows what was not shown, and has all of it written by then.
    pub(crate) async fn end(&mut self, until: Instant) {
        self.show(true);
        drop(timeout_at(until, self.spill.finish()).await);
    }

    /// Shows, keeps or reads a part of the output. Cancel-safe.
    async fn step(&mut self) {
        tokio::select! {
            // Reading comes last: of a flood there is always more.
            biased;
            () = sleep_until(self.show_at), if self.news.is_fresh() => self.show(false),
            () = self.spill.written(), if self.spill.is_writing() => {}
            (stream, count) = self.streams.next(),
                if self.streams.any_open() && self.spill.has_room() => self.push(stream, count),
            else => pending().await,
        }
    }

    fn push(&mut self, stream: OutputStream, count: usize) {
        let bytes = &self.streams.chunk[..count];
        self.output.push(bytes);
        self.spill.push(bytes);
        self.news.push(stream, bytes);
    }

    fn show(&mut self, ended: bool) {
        self.show_at = Instant::now() + SHOW;
        let call = self.call;
        for (stream, offset, text) in self.news.take(ended) {
            self.progress.push(Progress::CallOutput { call, stream, offset, text });
        }
    }
}

/// The outputs of a process that have not ended, read in turn.
struct Streams {
    open: Outputs,
    /// The one to be asked first.
    turn: usize,
    chunk: Vec<u8>,
}

impl Streams {
    fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next bytes of any of them; none at all when the last one is at its end.
    async fn next(&mut self) -> (OutputStream, usize) {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(OutputStream, usize)> {
        let mut asked = 0;
        while asked < self.open.len() {
            let place = (self.turn + asked) % self.open.len();
            let (stream, reader) = &mut self.open[place];
            let stream = *stream;
            let mut buffer = ReadBuf::new(&mut self.chunk);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Pending => asked += 1,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.turn = place + 1;
                    return Poll::Ready((stream, buffer.filled().len()));
                }
                // The end, or a pipe that cannot be read any more; the others are asked again.
                Poll::Ready(_) => {
                    self.open.remove(place);
                    asked = 0;
                    if self.open.is_empty() {
                        return Poll::Ready((stream, 0));
                    }
                }
            }
        }
        Poll::Pending
    }
}
