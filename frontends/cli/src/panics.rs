//! Panics go to tracing, never to the screen: a supervisor deals with them.

/// Installs the hook. Short on purpose: a backtrace costs tens of milliseconds at the first panic.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("unknown panic");
        tracing::error!(thread = name, place, "panic: {what}");
    }));
}
