//! A running process: its output is read as it comes, its end is waited for, its tree is ended.

use crate::{
    Args,
    finish::{self, LOST},
    output::{CAPTURE_BYTES, CommandEnd, HeadTail, ShellReport, shell_text},
    prepare::Shell,
    spill::Spill,
};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::watch,
    time::{Instant, sleep_until},
};
use troupe_messages::{ProcessExit, Running};
use troupe_types::{CallDetail, CallFinished, Outcome, OutputStream, Progress};

/// How long what a dead leader's children still print is waited for.
const DRAIN: Duration = Duration::from_millis(50);
/// How long the pipes of a tree that was ended are read: they end with it.
const REST: Duration = Duration::from_secs(1);
/// How often front ends are shown what came.
const SHOW: Duration = Duration::from_millis(50);
/// How much of it they are shown at once, in bytes; what is more is in the file.
const SHOWN: usize = 8 * 1024;
/// Read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// What the reading task needs.
pub(crate) struct Work {
    pub(crate) args: Args,
    pub(crate) shell: Shell,
    pub(crate) began: Instant,
    pub(crate) cancel: watch::Receiver<bool>,
}

/// Why the reading goes on, or ends.
enum End {
    Exited(ProcessExit),
    TimedOut,
    Cancelled,
}

impl Work {
    /// Reads until the process has ended or must end, and says how it was.
    pub(crate) async fn run(mut self, running: Running) -> CallFinished {
        let Running { output, mut exit, kill } = running;
        let mut streams = Streams::new(output);
        let mut captured = Captured::new(&self.args);
        let limit = self.began + Duration::from_millis(self.shell.timeout_ms);
        let end = loop {
            tokio::select! {
                biased;
                // A sender that is gone went with the role, and this task goes with it.
                _ = self.cancel.wait_for(|cancelled| *cancelled) => break End::Cancelled,
                exit = &mut exit => break End::Exited(exit),
                () = sleep_until(limit) => break End::TimedOut,
                (stream, count) = streams.next(), if streams.any_open() => {
                    captured.push(stream, streams.chunk(count));
                }
                () = sleep_until(captured.show_at()), if captured.has_news() => captured.show(),
            }
        };
        let ended_itself = matches!(end, End::Exited(_));
        // What a dead leader's children still print is waited for; then they are ended, and what is
        // in the pipes by then belongs to it as well.
        if ended_itself {
            drain(&mut streams, &mut captured, DRAIN).await;
        }
        let left = kill();
        drain(&mut streams, &mut captured, REST).await;
        captured.show();
        self.finish(&end, if ended_itself { left } else { 0 }, &captured)
    }

    fn finish(&self, end: &End, strays: u32, captured: &Captured) -> CallFinished {
        let (outcome, end) = match end {
            End::Exited(ProcessExit::Code(code)) => (Outcome::Completed, CommandEnd::Exited(*code)),
            End::Exited(ProcessExit::Signal(signal)) => {
                (Outcome::Completed, CommandEnd::Exited(128 + signal))
            }
            End::Exited(ProcessExit::Lost) => {
                let call = self.args.call.call;
                let detail = Some(self.detail(None, 0));
                return finish::finished(call, Outcome::Lost, LOST.to_owned(), detail, self.began);
            }
            End::TimedOut => {
                (Outcome::TimedOut, CommandEnd::TimedOut { limit_ms: self.shell.timeout_ms })
            }
            End::Cancelled => (Outcome::Cancelled, CommandEnd::Cancelled),
        };
        let report = ShellReport {
            end,
            wall: self.began.elapsed(),
            strays,
            output: &captured.output,
            kept_in: captured.spill.kept_in(),
        };
        let text = shell_text(&report, finish::tokens(&self.args.settings));
        let detail = self.detail(Some(end.exit_code()), strays);
        finish::finished(self.args.call.call, outcome, text, Some(detail), self.began)
    }

    fn detail(&self, exit_code: Option<i32>, strays: u32) -> CallDetail {
        let (argv, cwd) = (self.shell.argv.clone(), self.shell.cwd.clone());
        CallDetail::Command { argv, cwd, exit_code, strays }
    }
}

/// Reads what comes until the outputs end or the time is up.
async fn drain(streams: &mut Streams, captured: &mut Captured, most: Duration) {
    let until = Instant::now() + most;
    while streams.any_open() {
        tokio::select! {
            biased;
            () = sleep_until(until) => return,
            (stream, count) = streams.next() => captured.push(stream, streams.chunk(count)),
        }
    }
}

/// The outputs of a process, read in the order their bytes come.
struct Streams {
    open: Vec<(OutputStream, Box<dyn AsyncRead + Send + Unpin>)>,
    chunk: Vec<u8>,
}

impl Streams {
    fn new(open: Vec<(OutputStream, Box<dyn AsyncRead + Send + Unpin>)>) -> Self {
        Self { open, chunk: vec![0; CHUNK] }
    }

    fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn chunk(&self, count: usize) -> &[u8] {
        &self.chunk[..count]
    }

    /// The next bytes of any of them; none at all when the last one is at its end.
    async fn next(&mut self) -> (OutputStream, usize) {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(OutputStream, usize)> {
        let mut place = 0;
        while let Some((stream, reader)) = self.open.get_mut(place) {
            let stream = *stream;
            let mut buffer = ReadBuf::new(&mut self.chunk);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Pending => place += 1,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    return Poll::Ready((stream, buffer.filled().len()));
                }
                // The end, or a pipe that cannot be read any more.
                Poll::Ready(_) => {
                    self.open.remove(place);
                    if self.open.is_empty() {
                        return Poll::Ready((stream, 0));
                    }
                }
            }
        }
        Poll::Pending
    }
}

/// What was read so far: head and tail for the model, the whole in a file, news for front ends.
struct Captured {
    args: Args,
    output: HeadTail,
    spill: Spill,
    news: Vec<u8>,
    stream: OutputStream,
    shown_at: Instant,
}

impl Captured {
    fn new(args: &Args) -> Self {
        Self {
            output: HeadTail::new(CAPTURE_BYTES),
            spill: Spill::new(args.folder.join(format!("{}.out", args.call.call))),
            args: args.clone(),
            news: Vec::new(),
            stream: OutputStream::Stdout,
            shown_at: Instant::now(),
        }
    }

    fn push(&mut self, stream: OutputStream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if stream != self.stream {
            self.show();
            self.stream = stream;
        }
        self.output.push(bytes);
        self.spill.push(bytes);
        let latest = &bytes[bytes.len().saturating_sub(SHOWN)..];
        self.news.extend_from_slice(latest);
        let too_much = self.news.len().saturating_sub(SHOWN);
        self.news.drain(..too_much);
    }

    fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    fn show_at(&self) -> Instant {
        self.shown_at + SHOW
    }

    /// Shows front ends the latest; a character that is not complete yet waits.
    fn show(&mut self) {
        if self.news.is_empty() {
            return;
        }
        let complete = self.news.len() - crate::output::partial_char(&self.news);
        let rest = self.news.split_off(complete);
        let news = std::mem::replace(&mut self.news, rest);
        self.shown_at = Instant::now();
        if news.is_empty() {
            return;
        }
        let end = self.output.total_bytes() - self.news.len() as u64;
        self.args.progress.push(Progress::CallOutput {
            call: self.args.call.call,
            stream: self.stream,
            offset: end - news.len() as u64,
            text: String::from_utf8_lossy(&news).into_owned(),
        });
    }
}
