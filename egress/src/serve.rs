//! Serving: connections in, judged, connections out.

use crate::{
    http::{self, HttpError},
    rules::{Host, Rules, Verdict},
    socks::{self, SocksError},
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, lookup_host},
    sync::Semaphore,
    task::JoinSet,
};
use troupe_timer::within;

/// Connections at once; the next ones wait.
const MOST_CONNECTIONS: usize = 256;
/// The longest head of a request, in bytes.
const MOST_HEAD: usize = 64 * 1024;
/// How long a client has to say what it wants.
const ASKING: Duration = Duration::from_secs(30);
/// How long a name may take to be resolved, and one address to answer.
const REACHING: Duration = Duration::from_secs(15);
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;

/// What was decided about a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Whom it was for, as it was asked; what could not be read is named instead.
    pub host: String,
    /// The port; 0 if it could not be read.
    pub port: u16,
    /// Whether it was let through.
    pub allowed: bool,
    /// The rule, or why not.
    pub reason: String,
}

/// Serves a command's way out and its doors ([`Rules::doors`]) until the future ends; every connection
/// ends with it. `told` hears of every decision before it takes effect.
pub async fn serve(
    proxy: TcpListener,
    doors: Vec<TcpListener>,
    rules: Arc<Rules>,
    told: impl Fn(Decision) + Send + Sync + Clone + 'static,
    until: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut listeners = JoinSet::new();
    for door in doors {
        let (room, rules, told) = (Arc::clone(&room), Arc::clone(&rules), told.clone());
        listeners.spawn(async move {
            let Ok(at) = door.local_addr() else { return };
            let pass_on = move |stream| {
                let (rules, told) = (Arc::clone(&rules), told.clone());
                async move { through_door(stream, at, &rules, &told).await }
            };
            accept_all(&door, &room, pass_on).await;
        });
    }
    listeners.spawn(async move {
        let answer = move |stream| {
            let (rules, told) = (Arc::clone(&rules), told.clone());
            async move { connection(stream, &rules, &told).await }
        };
        accept_all(&proxy, &room, answer).await;
    });
    until.await;
}

/// Accepts connections, each served by a task of its own.
async fn accept_all<F>(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    answer: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, permit)) = accept(listener, room).await else {
            // Out of descriptors, or a client that is gone: the next one may do better.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let answered = answer(stream);
        connections.spawn(async move {
            // A client that goes away needs no answer.
            let _gone = answered.await;
            drop(permit);
        });
    }
}

/// Passes a connection on to the host's own loopback. What is not let through, or not there, is closed.
async fn through_door(
    mut client: TcpStream,
    at: SocketAddr,
    rules: &Rules,
    told: &(impl Fn(Decision) + Sync),
) -> io::Result<()> {
    let Some(host) = rules.behind(at) else { return Ok(()) };
    let decide = |verdict: &Verdict| {
        let (allowed, reason) = match verdict {
            Verdict::Allowed(rule) => (true, rule.clone()),
            Verdict::Refused(why) => (false, why.clone()),
        };
        told(Decision { host: host.to_string(), port: at.port(), allowed, reason });
    };
    decide(&rules.address(&host, at.ip(), at.port()));
    for address in rules.ways_behind(&host, at) {
        if let Ok(Ok(mut upstream)) = within(REACHING, TcpStream::connect(address)).await {
            return copy_bidirectional(&mut client, &mut upstream).await.map(|_| ());
        }
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// What is said to a client, in its own language.
enum Language {
    Http,
    Socks,
}

/// What a client wants.
struct Wanted {
    language: Language,
    host: Host,
    port: u16,
    /// What goes out first.
    first: Vec<u8>,
    /// Whether the client is told that it is connected.
    tunnel: bool,
}

/// Why there is nothing to connect.
enum Unread {
    Http(HttpError),
    Socks(SocksError),
    Gone,
}

async fn connection(
    mut client: TcpStream,
    rules: &Rules,
    told: &(impl Fn(Decision) + Sync),
) -> io::Result<()> {
    let wanted = match within(ASKING, ask(&mut client)).await {
        Ok(Ok(wanted)) => wanted,
        Ok(Err(Unread::Gone)) | Err(_) => return Ok(()),
        Ok(Err(unread)) => return refuse_unread(&mut client, &unread, told).await,
    };
    let Wanted { language, host, port, first, tunnel } = wanted;
    let decide = |verdict: &Verdict| {
        let (allowed, reason) = match verdict {
            Verdict::Allowed(rule) => (true, rule.clone()),
            Verdict::Refused(why) => (false, why.clone()),
        };
        told(Decision { host: host.to_string(), port, allowed, reason });
    };
    let mut upstream = match reach(&host, port, rules, decide).await {
        Ok(upstream) => upstream,
        Err(failed) => return failed.say(&mut client, &language, &host, port).await,
    };
    match (language, tunnel) {
        (Language::Http, true) => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        }
        (Language::Http, false) => {}
        (Language::Socks, _) => client.write_all(&socks_reply(0)).await?,
    }
    upstream.write_all(&first).await?;
    copy_bidirectional(&mut client, &mut upstream).await.map(|_| ())
}

/// Reads what a client wants.
async fn ask(client: &mut TcpStream) -> Result<Wanted, Unread> {
    let mut bytes = Vec::with_capacity(1024);
    more(client, &mut bytes).await?;
    if bytes[0] != 5 {
        loop {
            if let Some(asked) = http::read_head(&bytes).map_err(Unread::Http)? {
                let tunnel = asked.forward.is_none();
                let mut first = asked.forward.unwrap_or_default();
                first.extend_from_slice(&bytes[asked.head..]);
                let (host, port) = (asked.host, asked.port);
                return Ok(Wanted { language: Language::Http, host, port, first, tunnel });
            }
            more(client, &mut bytes).await?;
        }
    }
    let greeting = loop {
        match socks::read_greeting(&bytes).map_err(Unread::Socks)? {
            Some(length) => break length,
            None => more(client, &mut bytes).await?,
        }
    };
    bytes.drain(..greeting);
    client.write_all(&[5, 0]).await.map_err(|_| Unread::Gone)?;
    loop {
        if let Some((host, port, length)) = socks::read_request(&bytes).map_err(Unread::Socks)? {
            let first = bytes.split_off(length);
            return Ok(Wanted { language: Language::Socks, host, port, first, tunnel: true });
        }
        more(client, &mut bytes).await?;
    }
}

async fn more(client: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<(), Unread> {
    if bytes.len() >= MOST_HEAD {
        return Err(Unread::Http(HttpError::Malformed));
    }
    match client.read_buf(bytes).await {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(Unread::Gone),
    }
}

async fn refuse_unread(
    client: &mut TcpStream,
    unread: &Unread,
    told: &(impl Fn(Decision) + Sync),
) -> io::Result<()> {
    let (why, answer) = match unread {
        Unread::Http(error) => {
            let why = error.to_string();
            let answer = http_answer("400 Bad Request", &why);
            (why, answer)
        }
        Unread::Socks(SocksError::Method) => (SocksError::Method.to_string(), vec![5, 0xff]),
        Unread::Socks(error) => {
            let code = if *error == SocksError::Command { 7 } else { 1 };
            (error.to_string(), socks_reply(code).to_vec())
        }
        Unread::Gone => return Ok(()),
    };
    let host = "a request that cannot be read".to_owned();
    told(Decision { host, port: 0, allowed: false, reason: why });
    client.write_all(&answer).await
}

/// Why a host is not reached.
enum Failed {
    Refused(String),
    Unknown(String),
    Unreachable(String),
}

/// Connects to an address of the host that the rules allow; to no other.
async fn reach(
    host: &Host,
    port: u16,
    rules: &Rules,
    decide: impl Fn(&Verdict),
) -> Result<TcpStream, Failed> {
    let refuse = |verdict: Verdict| {
        decide(&verdict);
        match verdict {
            Verdict::Refused(why) | Verdict::Allowed(why) => Failed::Refused(why),
        }
    };
    let by_name = rules.host(host, port);
    if matches!(by_name, Verdict::Refused(_)) {
        return Err(refuse(by_name));
    }
    let addresses: Vec<SocketAddr> = match host {
        Host::Address(address) => vec![(*address, port).into()],
        Host::Name(name) => match within(REACHING, lookup_host((name.as_str(), port))).await {
            Ok(Ok(found)) => found.take(MOST_ADDRESSES).collect(),
            failed => {
                // The rules had nothing against it.
                decide(&by_name);
                let why = failed.map_or("no answer in time".to_owned(), |found| {
                    found.err().map(|error| error.to_string()).unwrap_or_default()
                });
                return Err(Failed::Unknown(why));
            }
        },
    };
    let judged: Vec<_> = addresses
        .into_iter()
        .map(|address| (address, rules.address(host, address.ip(), port)))
        .collect();
    // All or nothing: who controls a name could have its private addresses tried by the failure of
    // the public ones.
    if let Some((_, verdict)) = judged.iter().find(|(_, v)| matches!(v, Verdict::Refused(_))) {
        return Err(refuse(verdict.clone()));
    }
    decide(&by_name);
    let mut last = "it has no address".to_owned();
    for (address, _) in judged {
        match within(REACHING, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer in time".to_owned(),
        }
    }
    Err(Failed::Unreachable(last))
}

impl Failed {
    async fn say(
        &self,
        client: &mut TcpStream,
        language: &Language,
        host: &Host,
        port: u16,
    ) -> io::Result<()> {
        let (status, code, why) = match self {
            Self::Refused(why) => ("403 Forbidden", 2, format!("is refused: {why}")),
            Self::Unknown(why) => ("502 Bad Gateway", 4, format!("cannot be resolved: {why}")),
            Self::Unreachable(why) => ("502 Bad Gateway", 5, format!("cannot be reached: {why}")),
        };
        let answer = match language {
            Language::Http => http_answer(status, &format!("{host}:{port} {why}")),
            Language::Socks => socks_reply(code).to_vec(),
        };
        client.write_all(&answer).await?;
        client.shutdown().await
    }
}

fn http_answer(status: &str, why: &str) -> Vec<u8> {
    let body = format!("troupe: {why}\n");
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \
         {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A reply without an address (RFC 1928, section 6).
fn socks_reply(code: u8) -> [u8; 10] {
    [5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}
