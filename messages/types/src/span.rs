//! Lengths of time, for people.

use std::{fmt, time::Duration};

/// A length of time as people read it: `0.2 s`, `12 s`, `1 min 5 s`, `24 h`, `3 days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds < 10 {
            // Never `0.0 s` for a wait there is.
            let tenths = self.0.as_millis().div_ceil(100);
            if tenths < 100 {
                return match tenths % 10 {
                    0 => write!(f, "{} s", tenths / 10),
                    rest => write!(f, "{}.{rest} s", tenths / 10),
                };
            }
        }
        let seconds = seconds.saturating_add(u64::from(self.0.subsec_nanos() > 0));
        let two = |f: &mut fmt::Formatter<'_>, big: u64, name, small: u64, other| {
            write!(f, "{big} {name}")?;
            if small > 0 { write!(f, " {small} {other}") } else { Ok(()) }
        };
        match seconds {
            0..MINUTE => write!(f, "{seconds} s"),
            MINUTE..HOUR => two(f, seconds / MINUTE, "min", seconds % MINUTE, "s"),
            HOUR..DAY => two(f, seconds / HOUR, "h", seconds % HOUR / MINUTE, "min"),
            DAY..YEAR => match (seconds / DAY, seconds % DAY / HOUR) {
                // `24 h` says more of a limit than `1 day`.
                (1, hours) => write!(f, "{} h", 24 + hours),
                (days, hours) => two(f, days, "days", hours, "h"),
            },
            _ => f.write_str("more than a year"),
        }
    }
}
