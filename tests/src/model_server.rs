//! A scripted model server on loopback: the model's part of a conversation, written down.
//!
//! It speaks real HTTP/1.1 on `127.0.0.1`, serves `…/responses`, `…/chat/completions` and
//! `…/models`, and runs on a thread of its own, so that synchronous tests and paused clocks do not
//! disturb it. It ends with its [`ModelServer`].
//!
//! A [`Script`] says what is answered, a [`Turn`] is one answer, a [`Gate`] lets a test hold the
//! server at a point without sleeping. Every request is recorded, and checked with
//! [`check_request`]; what is wrong is in [`ModelServer::violations`], and **dropping a server
//! with violations fails the test**.

mod answer;
mod chat;
mod connection;
mod events;
mod gate;
mod http;
mod invariants;
mod record;
mod request;
mod responses;
mod script;
mod sender;
mod turn;

pub use answer::{Point, Usage};
pub use gate::Gate;
pub use invariants::check_request;
pub use record::Ended;
pub use request::{Request, Wire};
pub use script::Script;
pub use sender::Ending;
pub use turn::{
    Turn, call, call_text, calls, compute, custom, deltas, events, huge, item, reasoning, reset,
    say, silence, status,
};

use connection::Shared;
use record::{Facts, Record};
use script::Play;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
};

const BACKLOG: u32 = 4096;

/// A running model server.
pub struct ModelServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ModelServer {
    /// Starts a server that plays the script.
    ///
    /// # Panics
    /// If no port or thread can be had.
    #[must_use]
    pub fn start(script: Script) -> Self {
        let play = Mutex::new(Play::new(script));
        let shared = Arc::new(Shared { record: Record::new(), play });
        let (stop, stopped) = oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let inner = shared.clone();
        let thread = std::thread::Builder::new()
            .name("model-server".to_owned())
            .spawn(move || run(inner, told, stopped))
            .unwrap();
        let address = address.recv().expect("the model server could not listen on 127.0.0.1");
        Self { shared, address, stop: Some(stop), thread: Some(thread) }
    }

    /// The base URL with the version: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base URL without the version.
    #[must_use]
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plays another script from here on, from its start.
    pub fn set_script(&self, script: Script) {
        *self.shared.play.lock().unwrap() = Play::new(script);
    }

    // ---- what came

    /// The requests for an answer of the model so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.record.read().model().cloned().collect()
    }

    /// Every request so far, those for lists of models and unknown paths included.
    #[must_use]
    pub fn all_requests(&self) -> Vec<Arc<Request>> {
        self.shared.record.read().requests.clone()
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.record.read().connections
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.record.read().open_connections
    }

    // ---- waiting

    /// Waits for so many requests for an answer, and returns all that came.
    ///
    /// # Panics
    /// After [`crate::wait::DEADLINE`].
    pub async fn wait_requests(&self, count: usize) -> Vec<Arc<Request>> {
        self.shared.record.wait(&format!("{count} requests"), enough(count)).await
    }

    /// [`Self::wait_requests`] for tests without a runtime.
    ///
    /// # Panics
    /// After [`crate::wait::DEADLINE`].
    pub fn wait_requests_blocking(&self, count: usize) -> Vec<Arc<Request>> {
        self.shared.record.wait_blocking(&format!("{count} requests"), enough(count))
    }

    /// Waits until the answer to a request has ended (all sent, broken off, or the client gone).
    ///
    /// # Panics
    /// After [`crate::wait::DEADLINE`].
    pub async fn wait_ended(&self, request: &Request) -> Ended {
        self.shared.record.wait("the end of an answer", |facts| facts.ended[request.index]).await
    }

    /// [`Self::wait_ended`] for tests without a runtime.
    ///
    /// # Panics
    /// After [`crate::wait::DEADLINE`].
    pub fn wait_ended_blocking(&self, request: &Request) -> Ended {
        let index = request.index;
        self.shared.record.wait_blocking("the end of an answer", |facts| facts.ended[index])
    }

    /// Blocks until so many connections are open at once.
    ///
    /// # Panics
    /// After [`crate::wait::DEADLINE`].
    pub fn wait_open_connections(&self, count: usize) {
        self.shared.record.wait_blocking(&format!("{count} open connections"), |facts| {
            (facts.open_connections == count).then_some(())
        });
    }

    // ---- what was wrong

    /// What was wrong so far: requests that [`check_request`] refuses, requests without a step in
    /// the script, malformed HTTP, and faults of the script whose point never came.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.shared.record.read().violations.clone()
    }

    /// Takes the violations, present and future, as expected: dropping the server does not fail.
    #[must_use]
    pub fn expect_violations(&self) -> Vec<String> {
        self.shared.record.change(|facts| {
            facts.tolerated = true;
            facts.violations.clone()
        })
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if std::thread::panicking() {
            return;
        }
        assert!(!matches!(ended, Some(Err(_))), "the model server itself has failed");
        let facts = self.shared.record.read();
        let wrong = if facts.tolerated { Vec::new() } else { facts.violations.clone() };
        drop(facts);
        assert!(wrong.is_empty(), "the model server saw violations: {wrong:#?}");
    }
}

fn enough(count: usize) -> impl FnMut(&Facts) -> Option<Vec<Arc<Request>>> {
    move |facts| (facts.model().count() >= count).then(|| facts.model().cloned().collect())
}

/// The thread: a runtime that serves until it is told to stop.
fn run(
    shared: Arc<Shared>,
    told: std::sync::mpsc::Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = listen().unwrap();
        let _ = told.send(listener.local_addr().unwrap());
        tokio::select! {
            () = accept(shared, listener) => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(watched(shared.clone(), stream))),
            Err(error) => {
                let text = format!("cannot accept a connection: {error}");
                shared.record.change(|facts| facts.violations.push(text));
                // Out of descriptors: the next attempt would fail at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves a connection; a panic in a script's own functions becomes a violation.
async fn watched(shared: Arc<Shared>, stream: TcpStream) {
    let served = tokio::spawn(connection::serve(shared.clone(), stream)).await;
    if let Err(error) = served
        && error.is_panic()
    {
        let text = format!("the script panicked: {error}");
        shared.record.change(|facts| facts.violations.push(text));
    }
}
