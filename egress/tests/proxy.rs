//! The proxy over real sockets: what it lets through, what it says when it does not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test, which owns its tasks itself"
)]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};
use troupe_egress::{Decision, Rules, serve};

const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy with rules, and an upstream that answers every connection with what it got.
struct Stage {
    proxy: SocketAddr,
    upstream: u16,
    told: Arc<Mutex<Vec<Decision>>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Stage {
    /// `PORT` in a rule is the upstream's port.
    async fn new(allow: &[&str], deny: &[&str]) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = upstream.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = upstream.accept().await {
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(count) = stream.read(&mut bytes).await
                        && count > 0
                    {
                        let answer = [b"<", &bytes[..count], b">"].concat();
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let texts = |rules: &[&str]| -> Vec<String> {
            rules.iter().map(|rule| rule.replace("PORT", &port.to_string())).collect()
        };
        let rules = Arc::new(Rules::new(&texts(allow), &texts(deny)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let tell = move |decision| telling.lock().unwrap().push(decision);
            serve(listener, Vec::new(), rules, tell, async { drop(stopped.await) }).await;
        });
        Self { proxy, upstream: port, told, stop: Some(stop) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy).await.unwrap()
    }

    /// Sends bytes (`PORT` is the upstream's port) and reads to the end.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        let text = text.replace("PORT", &self.upstream.to_string());
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn last(&self) -> Decision {
        self.told.lock().unwrap().last().unwrap().clone()
    }
}

#[tokio::test]
async fn a_tunnel_to_what_is_named() {
    let stage = Stage::new(&["127.0.0.1:PORT"], &[]).await;
    let answer = stage.say("CONNECT 127.0.0.1:PORT HTTP/1.1\r\nHost: x\r\n\r\nhello").await;
    assert_eq!(answer, "HTTP/1.1 200 Connection established\r\n\r\n<hello>");
    assert!(stage.last().allowed, "{:?}", stage.last());
}

#[tokio::test]
async fn a_plain_request_goes_to_the_host_that_was_judged() {
    let stage = Stage::new(&["localhost:PORT"], &[]).await;
    let answer = stage
        .say(
            "GET http://LOCALHOST.:PORT/a?b HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: x\r\n\
             Connection: keep-alive\r\nAccept: */*\r\n\r\n",
        )
        .await;
    let sent = format!(
        "<GET /a?b HTTP/1.1\r\nHost: LOCALHOST.:{}\r\nAccept: */*\r\nConnection: close\r\n\r\n>",
        stage.upstream
    );
    assert_eq!(answer, sent);
}

#[tokio::test]
async fn what_no_rule_allows_is_refused_in_the_clients_language() {
    let stage = Stage::new(&["127.0.0.1:PORT"], &[]).await;
    for request in [
        "CONNECT example.com:443 HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n",
        "GET http://user:127.0.0.1@example.com/ HTTP/1.1\r\n\r\n",
        // A name that stands for the address is another name.
        "CONNECT localhost:PORT HTTP/1.1\r\n\r\n",
    ] {
        let answer = stage.say(request).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{request}: {answer}");
        assert!(!stage.last().allowed);
    }
    let mut stream = stage.connect().await;
    stream.write_all(b"\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00");
    let last = stage.last();
    assert_eq!((last.host.as_str(), last.port, last.allowed), ("example.com", 443, false));
}

#[tokio::test]
async fn private_addresses_have_to_be_named_also_behind_names() {
    let stage = Stage::new(&["*:*"], &[]).await;
    for host in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
    ] {
        let answer = stage.say(&format!("CONNECT {host}:PORT HTTP/1.1\r\n\r\n")).await;
        let refused = answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.1 502");
        assert!(refused, "{host}: {answer}");
    }
    let stage = Stage::new(&["*:*", "127.0.0.0/8:PORT"], &["127.0.0.2"]).await;
    let named = stage.say("CONNECT [::ffff:127.0.0.1]:PORT HTTP/1.1\r\n\r\n").await;
    assert!(named.starts_with("HTTP/1.1 200"), "{named}");
    let denied = stage.say("CONNECT 127.0.0.2:PORT HTTP/1.1\r\n\r\n").await;
    assert!(denied.starts_with("HTTP/1.1 403"), "{denied}");
}

#[tokio::test]
async fn a_name_that_leads_nowhere_was_allowed_all_the_same() {
    let stage = Stage::new(&["*.invalid"], &[]).await;
    let answer = stage.say("CONNECT no.such.invalid:443 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    let last = stage.last();
    assert_eq!((last.host.as_str(), last.allowed), ("no.such.invalid", true));
}

#[tokio::test]
async fn socks_in_pieces() {
    let stage = Stage::new(&["127.0.0.1:PORT"], &[]).await;
    let mut stream = stage.connect().await;
    let [high, low] = stage.upstream.to_be_bytes();
    for byte in [5, 2, 2, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low] {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    stream.write_all(b"hi").await.unwrap();
    let mut echo = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut echo)).await.unwrap().unwrap();
    assert_eq!(&echo, b"<hi>");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_told() {
    let stage = Stage::new(&["*"], &[]).await;
    let long = format!("GET http://x/ HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(70_000));
    for request in
        ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01 hello", "GET ftp://x/ HTTP/1.1\r\n\r\n", &long]
    {
        let mut stream = stage.connect().await;
        // It may be refused before all of it is sent.
        let _refused = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(!stage.last().allowed);
    }
    assert!(stage.told.lock().unwrap().iter().all(|decision| decision.port == 0));
}

#[tokio::test]
async fn everything_ends_with_its_command() {
    let mut stage = Stage::new(&["127.0.0.1:PORT"], &[]).await;
    let mut tunnel = stage.connect().await;
    let request = format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", stage.upstream);
    tunnel.write_all(request.as_bytes()).await.unwrap();
    tunnel.read_exact(&mut [0; 39]).await.unwrap();
    drop(stage.stop.take());
    let mut rest = Vec::new();
    // An end or a reset, but an end.
    let _reset = timeout(PATIENCE, tunnel.read_to_end(&mut rest)).await.unwrap();
    assert!(TcpStream::connect(stage.proxy).await.is_err(), "nobody listens any more");
}
