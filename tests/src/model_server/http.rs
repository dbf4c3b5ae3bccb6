//! As much HTTP/1.1 as a model server needs: requests with a length or in chunks, in; heads, out.

use std::io;
use tokio::{io::AsyncReadExt, net::TcpStream};

const HEAD_LIMIT: usize = 256 << 10;

/// A request as it was read.
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Bytes that were read and not yet used.
#[derive(Default)]
pub(crate) struct Unread(pub(crate) Vec<u8>);

impl Unread {
    /// Reads more; `false` when the other side has closed.
    async fn more(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        self.0.reserve(16 << 10);
        Ok(stream.read_buf(&mut self.0).await? > 0)
    }

    /// The bytes up to and with `end`, which are used up; `None` when the other side has closed.
    async fn until(&mut self, stream: &mut TcpStream, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut from = 0;
        loop {
            if let Some(at) = self.0[from..].windows(end.len()).position(|bytes| bytes == end) {
                return Ok(Some(self.0.drain(..from + at + end.len()).collect()));
            }
            if self.0.len() > HEAD_LIMIT {
                return Err(invalid("a head or chunk line without end"));
            }
            from = self.0.len().saturating_sub(end.len() - 1);
            if !self.more(stream).await? {
                return Ok(None);
            }
        }
    }

    async fn exactly(&mut self, stream: &mut TcpStream, count: usize) -> io::Result<Vec<u8>> {
        while self.0.len() < count {
            if !self.more(stream).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.0.drain(..count).collect())
    }
}

/// The next request on a connection; `None` when the client has closed it.
pub(crate) async fn read(
    stream: &mut TcpStream,
    unread: &mut Unread,
) -> io::Result<Option<Incoming>> {
    let Some(head) = unread.until(stream, b"\r\n\r\n").await? else { return Ok(None) };
    let head = String::from_utf8(head).map_err(|_| invalid("a head that is not UTF-8"))?;
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ').map(ToOwned::to_owned);
    let (Some(method), Some(path)) = (first.next(), first.next()) else {
        return Err(invalid("a bad request line"));
    };
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let get = |name: &str| headers.iter().find(|(have, _)| have == name).map(|(_, value)| value);
    let body = match get("content-length") {
        Some(length) => {
            let length = length.parse().map_err(|_| invalid("a bad content-length"))?;
            unread.exactly(stream, length).await?
        }
        None if get("transfer-encoding").is_some() => chunked(stream, unread).await?,
        None => Vec::new(),
    };
    Ok(Some(Incoming { method, path, headers, body }))
}

async fn chunked(stream: &mut TcpStream, unread: &mut Unread) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = unread.until(stream, b"\r\n").await?;
        let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = std::str::from_utf8(&line).ok().and_then(|line| line.split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or_else(|| invalid("a bad chunk size"))?;
        let chunk = unread.exactly(stream, size + 2).await?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The head of a response, with its blank line.
pub(crate) fn head(status: u16, headers: &[(String, String)]) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Scripted",
    };
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}
