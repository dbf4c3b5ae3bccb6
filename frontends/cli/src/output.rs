//! Lines for people. A closed pipe is no error: nobody is reading any more.

use std::io::Write;
use troupe_exec::Patient;

/// One line on standard output.
pub(crate) fn line(text: &str) {
    drop(writeln!(Patient(std::io::stdout().lock()), "{text}"));
}

/// Text on standard output, as it is.
pub(crate) fn text(text: &str) {
    let mut out = Patient(std::io::stdout().lock());
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// One line on standard error.
pub(crate) fn error(text: &str) {
    drop(writeln!(Patient(std::io::stderr().lock()), "{text}"));
}

/// A warning on standard error.
pub(crate) fn warning(text: &str) {
    error(&format!("warning: {text}"));
}

/// A time span in the unit that fits.
pub(crate) fn span(span: std::time::Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        1_000_000..120_000_000 => format!("{:.1} s", span.as_secs_f64()),
        _ => format!("{} min", span.as_secs() / 60),
    }
}
