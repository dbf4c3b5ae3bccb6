//! Proxies: HTTP and SOCKS, who is asked directly, and what a proxy that fails is called.

use super::{
    common::*,
    table::{row, table},
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

const MODEL: &str = "http://models.example.invalid/v1";

/// A proxy on loopback that does as `serve` says with each connection.
struct Proxy {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(
        serve: impl Fn(TcpStream, &Mutex<Vec<String>>) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (shared, serve) = (seen.clone(), Arc::new(serve));
        // It ends with the test.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, serve) = (shared.clone(), serve.clone());
                std::thread::spawn(move || serve(client, &shared));
            }
        });
        Self { address, seen }
    }

    /// An HTTP proxy that says these bytes to everyone.
    fn saying(words: &'static str) -> Self {
        Self::start(move |mut client, seen| {
            let head = head(&mut client)?;
            seen.lock().unwrap().push(head);
            client.write_all(words.as_bytes())
        })
    }

    /// An HTTP proxy whose every way leads to this server.
    fn to(server: &ModelServer) -> Self {
        let address = server.address();
        Self::start(move |mut client, seen| {
            let head = head(&mut client)?;
            seen.lock().unwrap().push(head.clone());
            let mut upstream = TcpStream::connect(address)?;
            if head.starts_with("CONNECT ") {
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            } else {
                let path = head.replacen("http://models.example.invalid", "", 1);
                upstream.write_all(path.as_bytes())?;
            }
            join(client, upstream)
        })
    }

    /// A SOCKS 5 proxy. `password`: what it wants; `reply`: its answer to a request.
    fn socks(
        server: Option<&ModelServer>,
        password: Option<(&'static str, &'static str)>,
        reply: u8,
    ) -> Self {
        let address = server.map(ModelServer::address);
        Self::start(move |mut client, seen| {
            let mut head = [0; 2];
            client.read_exact(&mut head)?;
            if head[0] != 5 {
                seen.lock().unwrap().push(format!("version {}", head[0]));
                return Ok(());
            }
            let mut methods = vec![0; head[1].into()];
            client.read_exact(&mut methods)?;
            let wanted = if password.is_some() { 2 } else { 0 };
            if !methods.contains(&wanted) {
                seen.lock().unwrap().push(format!("methods {methods:?}"));
                return client.write_all(&[5, 255]);
            }
            client.write_all(&[5, wanted])?;
            if let Some((name, word)) = password {
                let mut version = [0; 1];
                client.read_exact(&mut version)?;
                let got = (text(&mut client)?, text(&mut client)?);
                let right = got == (name.to_owned(), word.to_owned());
                seen.lock().unwrap().push(format!("{}:{}", got.0, got.1));
                client.write_all(&[1, u8::from(!right)])?;
                if !right {
                    return Ok(());
                }
            }
            let mut request = [0; 4];
            client.read_exact(&mut request)?;
            let host = match request[3] {
                3 => text(&mut client)?,
                1 => {
                    let mut ip = [0; 4];
                    client.read_exact(&mut ip)?;
                    format!("{ip:?}")
                }
                _ => {
                    let mut ip = [0; 16];
                    client.read_exact(&mut ip)?;
                    format!("{ip:?}")
                }
            };
            let mut port = [0; 2];
            client.read_exact(&mut port)?;
            seen.lock().unwrap().push(format!("{host} {}", u16::from_be_bytes(port)));
            client.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0])?;
            match address {
                Some(address) if reply == 0 => join(client, TcpStream::connect(address)?),
                _ => Ok(()),
            }
        })
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn head(client: &mut TcpStream) -> std::io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn text(client: &mut TcpStream) -> std::io::Result<String> {
    let mut length = [0];
    client.read_exact(&mut length)?;
    let mut text = vec![0; length[0].into()];
    client.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn join(client: TcpStream, upstream: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let (mut from, mut to) = (upstream, client);
    std::io::copy(&mut from, &mut to).map(drop)
}

/// A run that asks the model at `url` with these variables, once.
fn asks(url: &str, env: &[(&str, &str)]) -> (Stage, Finished) {
    let stage = Stage::new().with_provider(url, Wire::Chat);
    let mut run = exec(&stage);
    for name in ["request_max_retries", "stream_max_retries"] {
        run = run.args(["-c", &format!("model_providers.test.{name}=0")]);
    }
    run = run.args(["-c", "model_providers.test.connect_timeout_ms=1500"]).arg("go").limit(LIMIT);
    for (name, value) in env {
        run = run.env(name, value);
    }
    let finished = run.run();
    (stage, finished)
}

#[test]
fn ways_through() {
    let mut rows = Vec::new();
    for (variable, form) in [
        ("HTTP_PROXY", "http://ADDRESS"),
        ("http_proxy", "http://ADDRESS/"),
        ("ALL_PROXY", "ADDRESS"),
        ("all_proxy", "HTTP://ADDRESS"),
    ] {
        rows.push(row(format!("http: {variable}={form}"), move || {
            let server = ModelServer::start(Script::always(say("hello world")));
            let proxy = Proxy::to(&server);
            let (_stage, finished) =
                asks(MODEL, &[(variable, &form.replace("ADDRESS", &proxy.address))]);
            ends(&finished, 0);
            assert!(proxy.seen()[0].contains("models.example.invalid"), "{:?}", proxy.seen());
        }));
    }
    rows.push(row("http: a name and a password with escapes", || {
        let server = ModelServer::start(Script::always(say("hello world")));
        let proxy = Proxy::to(&server);
        let url = format!("http://us%40er:p%3Ass%25@{}", proxy.address);
        let (_stage, finished) = asks(MODEL, &[("HTTP_PROXY", &url)]);
        ends(&finished, 0);
        // us@er:p:ss%
        let head = proxy.seen()[0].to_lowercase();
        assert!(head.contains("proxy-authorization: basic dxnazxi6cdpzcyu="), "{head}");
    }));
    for form in ["socks5h://ADDRESS", "SOCKS5H://ADDRESS", "socks5h://ADDRESS/"] {
        rows.push(row(format!("socks: {form}"), move || {
            let server = ModelServer::start(Script::always(say("hello world")));
            let proxy = Proxy::socks(Some(&server), None, 0);
            let (_stage, finished) =
                asks(MODEL, &[("ALL_PROXY", &form.replace("ADDRESS", &proxy.address))]);
            ends(&finished, 0);
            assert_eq!(proxy.seen(), ["models.example.invalid 80"]);
        }));
    }
    rows.push(row("socks: a name and a password with escapes", || {
        let server = ModelServer::start(Script::always(say("hello world")));
        let proxy = Proxy::socks(Some(&server), Some(("us@er", "p:ss%")), 0);
        let (_stage, finished) = asks(
            MODEL,
            &[("ALL_PROXY", &format!("socks5h://us%40er:p%3Ass%25@{}", proxy.address))],
        );
        ends(&finished, 0);
    }));
    rows.push(row("socks: HTTP_PROXY goes before ALL_PROXY", || {
        let server = ModelServer::start(Script::always(say("hello world")));
        let (http, socks) = (Proxy::to(&server), Proxy::socks(None, None, 1));
        let (_stage, finished) = asks(
            MODEL,
            &[
                ("ALL_PROXY", &format!("socks5h://{}", socks.address)),
                ("HTTP_PROXY", &format!("http://{}", http.address)),
            ],
        );
        ends(&finished, 0);
        assert!(socks.seen().is_empty());
    }));
    rows.push(row("the proxy of the other scheme is not used", || {
        let proxy = Proxy::saying("HTTP/1.1 200 OK\r\n\r\n");
        let (_stage, finished) =
            asks(MODEL, &[("HTTPS_PROXY", &format!("http://{}", proxy.address))]);
        assert_ne!(finished.code(), Some(0));
        assert!(proxy.seen().is_empty());
        assert!(!told(&finished).contains("HTTPS_PROXY"), "{}", told(&finished));
    }));
    rows.push(row("an empty variable is none", || {
        let server = ModelServer::start(Script::always(say("hello world")));
        let proxy = Proxy::to(&server);
        let (_stage, finished) = asks(MODEL, &[("HTTP_PROXY", ""), ("ALL_PROXY", &proxy.address)]);
        ends(&finished, 0);
    }));
    for url in ["http://127.0.0.1:PORT/v1", "http://localhost:PORT/v1", "http://127.1.2.3:PORT/v1"]
    {
        rows.push(row(format!("never for this machine: {url}"), move || {
            let server = ModelServer::start(Script::always(say("hello world")));
            let proxy = Proxy::saying("HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n");
            let url = url.replace("PORT", &server.address().port().to_string());
            let value = format!("http://{}", proxy.address);
            let (_stage, finished) = asks(&url, &[("HTTP_PROXY", &value), ("ALL_PROXY", &value)]);
            assert!(proxy.seen().is_empty(), "{:?}", proxy.seen());
            // The server listens at one address alone.
            if !url.contains("127.1.2.3") {
                ends(&finished, 0);
            }
        }));
    }
    table("siblings: ways through proxies", &[], rows);
}

#[test]
fn exceptions() {
    let mut rows = Vec::new();
    for (list, host, direct) in [
        (".example.invalid", "models.example.invalid", true),
        ("*.example.invalid", "models.example.invalid", true),
        ("example.invalid", "models.example.invalid", true),
        ("ample.invalid", "models.example.invalid", false),
        ("MODELS.Example.Invalid", "models.example.invalid", true),
        ("models.example.invalid.", "models.example.invalid", true),
        ("models.example.invalid", "models.example.invalid.", true),
        ("other.invalid, models.example.invalid ,x", "models.example.invalid", true),
        ("other.invalid models.example.invalid", "models.example.invalid", true),
        ("models.example.invalid:80", "models.example.invalid", true),
        ("models.example.invalid:8080", "models.example.invalid", false),
        ("models.example.invalid:8080", "models.example.invalid:8080", true),
        ("203.0.113.0/24", "203.0.113.7:9", true),
        ("203.0.113.0/30", "203.0.113.7:9", false),
        ("203.0.113.7:9", "203.0.113.7:9", true),
        ("203.0.113", "203.0.113.7:9", false),
        ("2001:db8::/32", "[2001:db8::7]:9", true),
        ("[2001:db8::7]", "[2001:db8::7]:9", true),
        ("*", "models.example.invalid", true),
        ("", "models.example.invalid", false),
        (",", "models.example.invalid", false),
    ] {
        rows.push(row(format!("NO_PROXY={list:?} for {host}"), move || {
            let proxy = Proxy::saying("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n");
            let url = format!("http://{host}/v1");
            let (_stage, finished) = asks(
                &url,
                &[("HTTP_PROXY", &format!("http://{}", proxy.address)), ("NO_PROXY", list)],
            );
            assert_ne!(finished.code(), Some(0));
            assert_eq!(proxy.seen().is_empty(), direct, "{}", told(&finished));
        }));
    }
    table("siblings: exceptions from proxies", &[], rows);
}

#[test]
fn failures() {
    let mut rows = Vec::new();
    for (name, words, expected) in [
        (
            "wants credentials",
            "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n",
            vec!["407", "HTTP_PROXY"],
        ),
        ("closes without a word", "", vec!["HTTP_PROXY"]),
        ("speaks no HTTP", "SSH-2.0-OpenSSH_9.6\r\n", vec!["HTTP_PROXY"]),
    ] {
        rows.push(row(format!("http: {name}"), move || {
            let proxy = Proxy::saying(words);
            let (_stage, finished) =
                asks(MODEL, &[("HTTP_PROXY", &format!("http://{}", proxy.address))]);
            let message = ends(&finished, finished.code().unwrap())["error"]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            for word in &expected {
                any(&message, &[word]);
            }
            assert!(!message.contains("is it running"), "{message}");
        }));
    }
    for (name, words) in [
        (
            "a page of the proxy's",
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/html\r\ncontent-length: 62\r\n\r\n<html><title>ERROR: The requested URL cannot be found</title>\n",
        ),
        (
            "words of the proxy's",
            "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 31\r\n\r\nThe requested URL cannot be hah\n",
        ),
    ] {
        rows.push(row(format!("http: {name} reach the user"), move || {
            let proxy = Proxy::saying(words);
            let (_stage, finished) =
                asks(MODEL, &[("HTTP_PROXY", &format!("http://{}", proxy.address))]);
            assert_ne!(finished.code(), Some(0));
            any(&told(&finished), &["The requested URL cannot be"]);
        }));
    }
    for (name, password, url, reply, words) in [
        (
            "wants a password, none is given",
            Some(("a", "b")),
            "socks5h://ADDRESS",
            0,
            vec!["ALL_PROXY"],
        ),
        ("the password is wrong", Some(("a", "b")), "socks5h://a:c@ADDRESS", 0, vec!["ALL_PROXY"]),
        ("is not allowed to", None, "socks5h://ADDRESS", 2, vec!["ALL_PROXY"]),
        ("cannot reach the server", None, "socks5h://ADDRESS", 5, vec!["models.example.invalid"]),
        ("is one of another protocol", None, "http://ADDRESS", 0, vec!["ALL_PROXY"]),
    ] {
        rows.push(row(format!("socks: {name}"), move || {
            let proxy = Proxy::socks(None, password, reply);
            let (_stage, finished) =
                asks(MODEL, &[("ALL_PROXY", &url.replace("ADDRESS", &proxy.address))]);
            let message = ends(&finished, finished.code().unwrap())["error"]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            for word in &words {
                any(&message, &[word]);
            }
            assert!(!message.contains("a:c"), "the password is in {message}");
            assert!(!message.contains("is it running"), "{message}");
        }));
    }
    for value in
        ["ftp://127.0.0.1:1", "http://", "socks5h://:1080", "http://127.0.0.1:99999", "http://a b"]
    {
        rows.push(row(format!("a value that cannot be used is named: {value}"), move || {
            let (_stage, finished) = asks(MODEL, &[("HTTP_PROXY", value)]);
            assert_ne!(finished.code(), Some(0));
            any(&told(&finished), &["HTTP_PROXY"]);
        }));
    }
    rows.push(row("the password of a proxy that is not there is not shown", || {
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for scheme in ["http", "socks5h"] {
            let (stage, finished) =
                asks(MODEL, &[("HTTP_PROXY", &format!("{scheme}://bob:hunter2@{dead}"))]);
            finished.assert_code(5);
            any(&told(&finished), &["HTTP_PROXY"]);
            assert!(
                !(finished.stdout() + &finished.stderr() + &stage.log().text()).contains("hunter2")
            );
        }
    }));
    table("siblings: proxies that fail", &[], rows);
}
