//! When a server wants to be asked again: headers and words.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wait named in `retry-after-ms` or `Retry-After` (seconds or a date).
pub(crate) fn from_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return duration(ms / 1000.0);
    }
    let value = text(RETRY_AFTER.as_str())?;
    match value.parse::<f64>() {
        Ok(seconds) => duration(seconds),
        Err(_) => {
            let at = UNIX_EPOCH + Duration::from_secs(http_date(value)?);
            Some(at.duration_since(now).unwrap_or_default())
        }
    }
}

/// The wait named in a text such as `Please try again in 1.5s`.
pub(crate) fn from_text(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.split_once("try again in ")?.1.trim_start();
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let number: f64 = rest[..digits].parse().ok()?;
    let unit = rest[digits..].trim_start();
    if unit.starts_with("ms") || unit.starts_with("millisecond") {
        duration(number / 1000.0)
    } else if unit.starts_with('s') {
        duration(number)
    } else if unit.starts_with('m') {
        duration(number * 60.0)
    } else {
        None
    }
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.max(0.0)).ok().filter(|_| !seconds.is_nan())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next().filter(|name| name.len() == 3)?;
    let month = MONTHS.find(month).filter(|at| at % 3 == 0)? as u64 / 3;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let seconds = hour.min(23) * 3600 + minute.min(59) * 60 + second.min(60);
    Some(days_since_1970(year, month, day.clamp(1, 31)) * 86_400 + seconds)
}

/// `month` counts from 0, `day` from 1.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let years = (1970..year).map(|year| 365 + u64::from(leap(year))).sum::<u64>();
    let leap_day = u64::from(month > 1 && leap(year));
    years + BEFORE[month as usize % 12] + leap_day + day - 1
}
