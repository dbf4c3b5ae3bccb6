//! The head of a request to an HTTP proxy.

use crate::Host;
use std::fmt::Write as _;

/// Headers at most; and what a head may have in bytes is the reader's business.
const MOST_HEADERS: usize = 100;

/// What is asked of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whom it is for.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// What is sent there first, in place of the head: nothing for a tunnel.
    pub forward: Option<Vec<u8>>,
    /// How long the head was, in bytes.
    pub head: usize,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// It is no head of HTTP/1.
    #[error("this is no request of HTTP/1.0 or HTTP/1.1")]
    Malformed,
    /// It does not say where to.
    #[error("the request names no host and port: this is a proxy")]
    NoTarget,
    /// Another scheme than `http`.
    #[error("only http:// is passed on as it is; for others use CONNECT")]
    Scheme,
}

/// Reads the head of a request (RFC 9112); `None` while it is not complete.
///
/// # Errors
/// When it cannot be one, or names no host.
pub fn read_head(bytes: &[u8]) -> Result<Option<Asked>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(HttpError::Malformed),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(HttpError::Malformed);
    };
    if method == "CONNECT" {
        let (host, port) = authority(target, None).ok_or(HttpError::NoTarget)?;
        return Ok(Some(Asked { host, port, forward: None, head }));
    }
    let rest = match target.get(..7) {
        Some(start) if start.eq_ignore_ascii_case("http://") => &target[7..],
        _ if target.contains("://") => return Err(HttpError::Scheme),
        _ => return Err(HttpError::NoTarget),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (named, path) = rest.split_at(end);
    // What stands before an @ is a name and a password, not a host.
    let named = named.rsplit('@').next().unwrap_or(named);
    let (host, port) = authority(named, Some(80)).ok_or(HttpError::NoTarget)?;
    let path = path.split('#').next().unwrap_or(path);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut forward = String::with_capacity(head);
    // Writing into a `String` cannot fail.
    let _ = write!(forward, "{method} {slash}{path} HTTP/1.1\r\nHost: {named}\r\n");
    let mut forward = forward.into_bytes();
    for header in request.headers.iter().filter(|header| is_passed_on(header.name)) {
        forward.extend_from_slice(header.name.as_bytes());
        forward.extend_from_slice(b": ");
        forward.extend_from_slice(header.value);
        forward.extend_from_slice(b"\r\n");
    }
    // One request, one connection: the next one may be for somebody else.
    forward.extend_from_slice(b"Connection: close\r\n\r\n");
    Ok(Some(Asked { host, port, forward: Some(forward), head }))
}

/// What concerns the connection ends here; the host is the one that was judged.
fn is_passed_on(name: &str) -> bool {
    let own = ["host", "connection", "proxy-connection", "proxy-authorization", "keep-alive", "te"];
    !own.iter().any(|other| name.eq_ignore_ascii_case(other))
}

fn authority(text: &str, default: Option<u16>) -> Option<(Host, u16)> {
    let (host, port) = match text.rfind([':', ']']) {
        Some(at) if text[at..].starts_with(':') => (&text[..at], text[at + 1..].parse().ok()?),
        _ => (text, default?),
    };
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    (port > 0).then_some((Host::parse(host)?, port))
}
