//! INT, TERM and HUP, as a value that can be waited for. The third one ends the process at once,
//! whatever it does. An INT or a HUP that is ignored when the program starts stays ignored: that is how
//! `nohup` and `command &` in a script keep a program running.
//!
//! `main` holds them back until somebody listens, so that none kills the process before that.

use tokio::sync::watch;
use troupe_exec::Signals;

/// Listens from now on.
#[cfg(unix)]
pub(crate) fn listen() -> watch::Receiver<Option<Signals>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = watch::channel(None);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        if kind != SignalKind::terminate() && troupe_sandbox::is_ignored(kind.as_raw_value()) {
            continue;
        }
        let Ok(mut signals) = signal(kind) else { continue };
        let sender = sender.clone();
        #[expect(clippy::disallowed_methods, reason = "an edge of the front end")]
        drop(tokio::spawn(async move {
            while signals.recv().await.is_some() {
                note(&sender, kind.as_raw_value());
            }
        }));
    }
    troupe_sandbox::let_signals_in();
    receiver
}

/// Listens from now on.
#[cfg(not(unix))]
pub(crate) fn listen() -> watch::Receiver<Option<Signals>> {
    let (sender, receiver) = watch::channel(None);
    #[expect(clippy::disallowed_methods, reason = "an edge of the front end")]
    drop(tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            note(&sender, 2);
        }
    }));
    receiver
}

fn note(sender: &watch::Sender<Option<Signals>>, number: i32) {
    let before = sender.borrow().map_or(0, |signals: Signals| signals.count);
    let signals = Signals { number, count: before + 1 };
    sender.send_replace(Some(signals));
    if signals.count > 2 {
        std::process::exit(i32::from(signals.code()));
    }
}
