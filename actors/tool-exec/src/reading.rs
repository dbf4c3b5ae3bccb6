//! Reading what a process prints: head and tail for the record, the whole into a file, the latest for
//! front ends. All three get whole characters: the start of one waits here for its rest.
//!
//! The next part is read when there is room for it, so that a slow disk slows the process and
//! memory stays flat.

use crate::{
    Args,
    news::News,
    output::{CAPTURE_BYTES, HeadTail, partial_char},
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
    task::yield_now,
    time::{Instant, sleep_until, timeout_at},
};
use troupe_kit::{Ring, within};
use troupe_types::{CallId, Kept, Progress};

/// How often front ends are shown what came.
const SHOW: Duration = Duration::from_millis(50);
/// How many parts are still read when the time is up: what a pipe holds, and a bit more.
const LATE: u32 = 8;
/// Read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// The most that is kept of the sandbox's remarks about one process, in bytes.
const NOTES: usize = 64 * 1024;

type Pipe = Box<dyn AsyncRead + Send + Unpin>;

/// What was read so far, and what it is read from.
pub(crate) struct Reading {
    call: CallId,
    progress: Ring<Progress>,
    pipes: Pipes,
    /// What came: first the start of a character that is not complete, then room for more.
    chunk: Vec<u8>,
    /// The bytes of that start.
    carried: usize,
    output: HeadTail,
    spill: Spill,
    news: News,
    /// When front ends may be shown something again.
    show_at: Instant,
}

impl Reading {
    pub(crate) fn new(args: &Args, output: Pipe, notes: Pipe) -> Self {
        let call = args.call.call;
        Self {
            call,
            progress: args.progress.clone(),
            pipes: Pipes { output: Some(output), notes: Some(notes), noted: Vec::new() },
            chunk: vec![0; CHUNK],
            carried: 0,
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

    /// Forgets what was read so far, once it was told. The start of a character was not.
    pub(crate) fn forget(&mut self) {
        self.output = HeadTail::new(CAPTURE_BYTES);
    }

    /// What became of the whole. `ended`: nothing more of it is written.
    pub(crate) fn kept(&self, ended: bool) -> Option<Kept> {
        self.spill.kept(ended)
    }

    /// The sandbox's remarks so far.
    pub(crate) fn notes(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.pipes.noted);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Reads for as long as it is asked to. Cancel-safe.
    pub(crate) async fn go_on(&mut self) -> Infallible {
        loop {
            self.step().await;
        }
    }

    /// Reads until the pipes end or the time is up. What is in them by then is read all the same.
    pub(crate) async fn drain(&mut self, until: Instant) {
        let mut late = 0;
        while self.pipes.any_open() {
            if Instant::now() >= until {
                // Of a flood there is always more.
                if late == LATE {
                    return;
                }
                late += 1;
                // A thread that had no turn has not heard of it yet.
                yield_now().await;
            }
            if timeout_at(until, self.step()).await.is_err() && late > 0 {
                return;
            }
        }
    }

    /// Nothing more is expected: shows what was not shown, and has all of it written within a limit.
    pub(crate) async fn end(&mut self, limit: Duration) {
        self.flush();
        self.show();
        let _slow = within(limit, self.spill.finish()).await;
    }

    /// Shows, keeps or reads a part of the output. Cancel-safe.
    async fn step(&mut self) {
        tokio::select! {
            // Reading comes last: of a flood there is always more.
            biased;
            () = sleep_until(self.show_at), if self.news.is_fresh() => self.show(),
            () = self.spill.written(), if self.spill.is_writing() => {}
            count = self.pipes.next(&mut self.chunk[self.carried..]),
                if self.pipes.any_open() && self.spill.has_room() => self.push(count),
            else => pending().await,
        }
    }

    /// Takes so many more bytes of the chunk, as far as they are whole characters.
    fn push(&mut self, count: usize) {
        let filled = self.carried + count;
        let whole = filled - partial_char(&self.chunk[..filled]);
        self.take(whole);
        self.chunk.copy_within(whole..filled, 0);
        self.carried = filled - whole;
    }

    /// Takes what has waited in vain for its rest.
    fn flush(&mut self) {
        let carried = std::mem::take(&mut self.carried);
        self.take(carried);
    }

    fn take(&mut self, count: usize) {
        let bytes = &self.chunk[..count];
        self.output.push(bytes);
        self.spill.push(bytes);
        self.news.push(bytes);
    }

    fn show(&mut self) {
        self.show_at = Instant::now() + SHOW;
        if let Some((offset, text)) = self.news.take() {
            self.progress.push(Progress::CallOutput { call: self.call, offset, text });
        }
    }
}

/// The pipes of a process that have not ended.
struct Pipes {
    output: Option<Pipe>,
    notes: Option<Pipe>,
    /// The sandbox's remarks.
    noted: Vec<u8>,
}

impl Pipes {
    fn any_open(&self) -> bool {
        self.output.is_some() || self.notes.is_some()
    }

    /// The next bytes of the output; none when one of the pipes is at its end.
    async fn next(&mut self, chunk: &mut [u8]) -> usize {
        poll_fn(|cx| self.poll(cx, chunk)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, chunk: &mut [u8]) -> Poll<usize> {
        // Only the sandbox writes there, and little.
        let mut line = [0; 1024];
        while let Some(notes) = &mut self.notes {
            match read(notes, cx, &mut line) {
                Poll::Pending => break,
                Poll::Ready(0) => {
                    self.notes = None;
                    return Poll::Ready(0);
                }
                Poll::Ready(count) => {
                    let room = NOTES - self.noted.len();
                    self.noted.extend_from_slice(&line[..count.min(room)]);
                }
            }
        }
        let Some(output) = &mut self.output else { return Poll::Pending };
        let read = read(output, cx, chunk);
        if read == Poll::Ready(0) {
            self.output = None;
        }
        read
    }
}

/// Reads what is there; nothing at the end, and of a pipe that cannot be read any more.
fn read(pipe: &mut Pipe, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<usize> {
    let mut buffer = ReadBuf::new(into);
    let polled = Pin::new(pipe).poll_read(cx, &mut buffer);
    polled.map(|read| read.map_or(0, |()| buffer.filled().len()))
}
