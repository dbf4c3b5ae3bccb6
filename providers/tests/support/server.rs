//! A tiny HTTP server on a real socket: one thread, one handler for each request.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
};

pub struct Request {
    /// Request line and headers.
    pub head: String,
    pub body: String,
}

/// Starts a server; every request of every connection goes to the handler, which writes the answer and returns
/// whether the connection stays. Reports the number of the connection with each request.
pub fn serve(
    handler: impl Fn(&mut TcpStream, &Request) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Receiver<(usize, Request)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (report, requests) = channel();
    let handler = std::sync::Arc::new(handler);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (handler, report) = (handler.clone(), report.clone());
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                while let Some(request) = read_request(&mut stream) {
                    let stays = handler(&mut stream, &request);
                    let _ = report.send((number, request));
                    if !stays {
                        return;
                    }
                }
            });
        }
    });
    (address, requests)
}

pub fn read_request(stream: &mut impl Read) -> Option<Request> {
    let mut reader = BufReader::with_capacity(1, stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: String::from_utf8(body).unwrap() })
}

/// Writes a whole answer.
pub fn answer(stream: &mut impl Write, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    let _ = stream.flush();
}

/// Writes the head of a stream.
pub fn open_stream(stream: &mut impl Write) {
    let _ = stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    );
}

/// Writes one piece of a stream; an empty one ends it.
pub fn piece(stream: &mut impl Write, data: &str) {
    let _ = write!(stream, "{:x}\r\n{data}\r\n", data.len());
    let _ = stream.flush();
}

/// Waits until the client closes; `true` if it does.
pub fn until_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.read(&mut byte), Ok(0) | Err(_))
}
