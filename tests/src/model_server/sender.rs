//! Sends one scripted answer over a connection, act by act.

use super::{
    Gate, Wire,
    answer::{Act, Answer, Body, Point},
    chat, events, http,
    http::Unread,
    responses,
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const BUFFER: usize = 32 << 10;

/// How the sending of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All was sent.
    Sent,
    /// The script closed or reset the connection.
    Broken,
    /// The client went first.
    ClientGone,
}

/// What came of an answer: its ending, and the acts whose point never came.
pub(crate) struct Sent {
    pub(crate) ending: Ending,
    pub(crate) keep_alive: bool,
    pub(crate) missed: Vec<Point>,
}

impl Sent {
    fn end(ending: Ending, keep_alive: bool) -> Self {
        Self { ending, keep_alive, missed: Vec::new() }
    }
}

/// What the request asks of the form of the answer.
pub(crate) struct Asked<'a> {
    pub(crate) wire: Wire,
    pub(crate) model: &'a str,
    pub(crate) stream: bool,
    pub(crate) name: &'a str,
}

pub(crate) struct Sender<'a> {
    stream: &'a mut TcpStream,
    unread: &'a mut Unread,
    buffer: Vec<u8>,
    chunked: bool,
    chunk: Option<usize>,
}

/// Why the answer stops here.
enum Stop {
    Gone,
    Broken,
    End,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl<'a> Sender<'a> {
    pub(crate) fn new(stream: &'a mut TcpStream, unread: &'a mut Unread) -> Self {
        Self { stream, unread, buffer: Vec::new(), chunked: false, chunk: None }
    }

    /// Sends the answer.
    pub(crate) async fn send(mut self, answer: &Answer, asked: &Asked<'_>) -> Sent {
        for gate in &answer.before {
            if self.pass(gate).await.is_err() {
                return Sent::end(Ending::ClientGone, false);
            }
        }
        let result = match &answer.body {
            Body::Silence => self.until_gone().await.map(|()| Vec::new()),
            Body::Reset => self.reset().map(|()| Vec::new()),
            Body::Plain(bytes) => self.plain(answer, bytes).await,
            Body::Parts(parts) if !asked.stream => {
                let whole = match asked.wire {
                    Wire::Chat => chat::whole(answer, parts, asked.name, asked.model),
                    _ => responses::whole(answer, parts, asked.name, asked.model),
                };
                self.plain(answer, whole.to_string().as_bytes()).await
            }
            Body::Parts(_) | Body::Events(_) => self.events(answer, asked).await,
        };
        match result {
            Ok(missed) => {
                Sent { ending: Ending::Sent, keep_alive: !answer.close_delimited, missed }
            }
            Err(Stop::Gone) => Sent::end(Ending::ClientGone, false),
            Err(Stop::Broken | Stop::End) => Sent::end(Ending::Broken, false),
        }
    }

    async fn plain(&mut self, answer: &Answer, body: &[u8]) -> Result<Vec<Point>, Stop> {
        let kind = answer.content_type.as_deref().unwrap_or("application/json");
        let mut headers = vec![("content-type".to_owned(), kind.to_owned())];
        if answer.close_delimited {
            headers.push(("connection".to_owned(), "close".to_owned()));
        } else {
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        headers.extend(answer.headers.iter().cloned());
        self.buffer.extend(http::head(status(answer), &headers));
        self.buffer.extend_from_slice(body);
        self.flush().await?;
        Ok(answer.acts.iter().map(|(point, _)| *point).collect())
    }

    /// The stream. `Ok` holds the points that never came.
    async fn events(&mut self, answer: &Answer, asked: &Asked<'_>) -> Result<Vec<Point>, Stop> {
        self.head(answer);
        let mut progress = Progress::new(&answer.acts);
        let ended = match self.play(answer, asked, &mut progress).await {
            Ok(()) | Err(Stop::End) => Ok(()),
            stop => stop,
        };
        ended?;
        if self.chunked {
            self.buffer.extend_from_slice(b"0\r\n\r\n");
        }
        self.flush().await?;
        Ok(progress.acts.iter().map(|(point, _)| *point).collect())
    }

    async fn play(
        &mut self,
        answer: &Answer,
        asked: &Asked<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        self.acts(progress).await?;
        for event in events::render(answer, asked.wire, asked.name, asked.model) {
            if let Some(pause) = answer.pace {
                self.pause(pause).await?;
            }
            self.write(&event.bytes).await?;
            progress.count(event.mark);
            self.acts(progress).await?;
        }
        Ok(())
    }

    fn head(&mut self, answer: &Answer) {
        self.chunked = !answer.close_delimited;
        self.chunk = answer.chunk;
        let kind = answer.content_type.as_deref().unwrap_or("text/event-stream");
        let framing = match self.chunked {
            true => ("transfer-encoding", "chunked"),
            false => ("connection", "close"),
        };
        let pairs = [("content-type", kind), ("cache-control", "no-cache"), framing];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut headers: Vec<_> = pairs.into_iter().map(own).collect();
        headers.extend(answer.headers.iter().cloned());
        self.buffer.extend(http::head(status(answer), &headers));
    }

    /// Carries out what is due at the present point.
    async fn acts(&mut self, progress: &mut Progress<'_>) -> Result<(), Stop> {
        for act in progress.due() {
            match act {
                Act::Write(bytes) => self.write(bytes).await?,
                Act::Wait(gate) => {
                    self.flush().await?;
                    self.pass(gate).await?;
                }
                Act::Stall => {
                    self.flush().await?;
                    self.until_gone().await?;
                }
                Act::Drop => {
                    self.flush().await?;
                    return Err(Stop::Broken);
                }
                Act::Reset => {
                    self.flush().await?;
                    self.reset()?;
                }
                Act::End => return Err(Stop::End),
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        for piece in bytes.chunks(self.chunk.unwrap_or(bytes.len().max(1))) {
            if self.chunked {
                self.buffer.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                self.buffer.extend_from_slice(piece);
                self.buffer.extend_from_slice(b"\r\n");
            } else {
                self.buffer.extend_from_slice(piece);
            }
            if self.chunk.is_some() || self.buffer.len() > BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        self.stream.write_all(&self.buffer).await?;
        self.buffer.clear();
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Stop> {
        self.stream.set_zero_linger()?;
        Err(Stop::Broken)
    }

    async fn pause(&mut self, pause: Duration) -> Result<(), Stop> {
        self.flush().await?;
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            stop = gone(self.stream, self.unread) => Err(stop),
        }
    }

    async fn pass(&mut self, gate: &Gate) -> Result<(), Stop> {
        tokio::select! {
            () = gate.pass() => Ok(()),
            stop = gone(self.stream, self.unread) => Err(stop),
        }
    }

    async fn until_gone(&mut self) -> Result<(), Stop> {
        Err(gone(self.stream, self.unread).await)
    }
}

/// Waits until the client has closed the connection. What it sends meanwhile is kept.
async fn gone(stream: &mut TcpStream, unread: &mut Unread) -> Stop {
    loop {
        match stream.read_buf(&mut unread.0).await {
            Ok(0) | Err(_) => return Stop::Gone,
            Ok(_) => {}
        }
    }
}

fn status(answer: &Answer) -> u16 {
    if answer.status == 0 { 200 } else { answer.status }
}

/// How far the stream is, and the acts still to come.
struct Progress<'a> {
    events: usize,
    deltas: usize,
    items: usize,
    acts: Vec<&'a (Point, Act)>,
}

impl<'a> Progress<'a> {
    fn new(acts: &'a [(Point, Act)]) -> Self {
        Self { events: 0, deltas: 0, items: 0, acts: acts.iter().collect() }
    }

    fn count(&mut self, mark: events::Mark) {
        self.events += 1;
        self.deltas += usize::from(mark == events::Mark::Delta);
        self.items += usize::from(mark == events::Mark::Item);
    }

    /// The acts whose point has come, once each, in order of scripting.
    fn due(&mut self) -> Vec<&'a Act> {
        let here = |point: Point| match point {
            Point::Events(count) => self.events >= count,
            Point::Deltas(count) => self.deltas >= count,
            Point::Items(count) => self.items >= count,
        };
        let (due, later) = self.acts.iter().partition(|(point, _)| here(*point));
        self.acts = later;
        let due: Vec<&'a (Point, Act)> = due;
        due.into_iter().map(|(_, act)| act).collect()
    }
}
