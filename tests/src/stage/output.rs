//! What a process writes, read as it comes.

use std::{
    io::Read,
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The bytes of one pipe so far. Clones are the same pipe.
#[derive(Clone)]
pub(crate) struct Output(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
}

impl Output {
    /// Reads the pipe to its end on a thread.
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let output = Self(Arc::default());
        let shared = output.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => shared.change(|state| state.bytes.extend(&buffer[..count])),
                }
            }
            shared.change(|state| state.closed = true);
        });
        (output, thread)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// The text so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().bytes).into_owned()
    }

    /// The bytes so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().bytes.clone()
    }

    /// Waits until `look` finds something in the text; `None` at the end of the pipe or of time.
    pub(crate) fn wait<T>(
        &self,
        deadline: Duration,
        mut look: impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + deadline;
        let mut state = self.0.0.lock().unwrap();
        loop {
            if let Some(found) = look(&String::from_utf8_lossy(&state.bytes)) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = self.0.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until the pipe is closed by all who hold it; `false` at the end of time.
    pub(crate) fn wait_closed(&self, deadline: Duration) -> bool {
        let state = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(state, deadline, |state| !state.closed).unwrap();
        waited.0.closed
    }
}
