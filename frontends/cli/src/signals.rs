//! INT, TERM and HUP, as a value that can be waited for. The second one ends the process at once.

use tokio::sync::watch;

/// Listens from now on; the value is the number of the first signal.
#[cfg(unix)]
pub(crate) fn listen() -> watch::Receiver<Option<i32>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = watch::channel(None);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let Ok(mut signals) = signal(kind) else { continue };
        let sender = sender.clone();
        #[expect(clippy::disallowed_methods, reason = "an edge of the front end")]
        drop(tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let number = kind.as_raw_value();
                if sender.send_replace(Some(number)).is_some() {
                    std::process::exit(128 + number);
                }
            }
        }));
    }
    receiver
}

/// Listens from now on.
#[cfg(not(unix))]
pub(crate) fn listen() -> watch::Receiver<Option<i32>> {
    let (sender, receiver) = watch::channel(None);
    #[expect(clippy::disallowed_methods, reason = "an edge of the front end")]
    drop(tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if sender.send_replace(Some(2)).is_some() {
                std::process::exit(130);
            }
        }
    }));
    receiver
}
