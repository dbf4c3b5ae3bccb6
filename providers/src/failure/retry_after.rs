//! When a server wants to be asked again: headers and words.
//!
//! A wait is taken as it is named, up to [`Duration::MAX`] for one that no clock holds: what is too
//! long is the caller's to say. What is no wait at all (`NaN`, words) counts as none.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wait named in `retry-after-ms`, `Retry-After` (seconds or a date), or the reset of a limit
/// of which nothing is left.
pub(crate) fn from_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    text("retry-after-ms")
        .and_then(|ms| seconds(ms.parse::<f64>().ok()? / 1000.0))
        .or_else(|| text(RETRY_AFTER.as_str()).and_then(|value| seconds_or_date(value, now)))
        .or_else(|| from_limits(headers, now))
}

fn seconds_or_date(value: &str, now: SystemTime) -> Option<Duration> {
    match value.parse::<f64>() {
        Ok(number) => seconds(number),
        Err(_) => Some(until(http_date(value)?, now)),
    }
}

/// How long it is until so many seconds after 1970; nothing if that has passed.
fn until(at: u64, now: SystemTime) -> Duration {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(at).saturating_sub(now)
}

/// The longest reset among the limits of which nothing is left: `x-ratelimit-reset-tokens` with
/// `x-ratelimit-remaining-tokens: 0`, and the same without an ending or without `x-`.
fn from_limits(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let waits = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let limit = name.strip_prefix("x-").unwrap_or(name).strip_prefix("ratelimit-reset")?;
        let remaining = name.replacen("reset", "remaining", 1);
        let left = headers.get(remaining).and_then(|value| value.to_str().ok()).map(str::trim);
        // Without an ending there is one limit, and it was reached.
        let reached = left.map_or(limit.is_empty(), |left| left.parse() == Ok(0.0));
        reset(value.to_str().ok()?.trim(), now).filter(|_| reached)
    });
    waits.max()
}

/// A reset: `6m0s`, seconds from now, or seconds or milliseconds since 1970.
fn reset(value: &str, now: SystemTime) -> Option<Duration> {
    const SINCE_1970: f64 = 1e9;
    match value.parse::<f64>() {
        Ok(number) if number >= SINCE_1970 * 1000.0 => Some(until((number / 1000.0) as u64, now)),
        Ok(number) if number >= SINCE_1970 => Some(until(number as u64, now)),
        Ok(number) => seconds(number),
        Err(_) => span(value),
    }
}

/// The wait named in a text such as `Please try again in 1.5s` or `retry after 5 seconds`.
pub(crate) fn from_text(text: &str) -> Option<Duration> {
    const BEFORE: [&str; 4] = ["try again in ", "retry in ", "retry after ", "wait "];
    let lower = text.to_ascii_lowercase();
    BEFORE.iter().find_map(|words| span(lower.split_once(words)?.1))
}

/// The length of time at the beginning of a text: `20ms`, `1h2m3.5s`, `2 minutes 5 seconds`.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let mut rest = text.trim_start();
    let mut total: Option<Duration> = None;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse::<f64>() else { return total };
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let Some(unit) = unit(&after[..letters]) else { return total };
        total = Some(total.unwrap_or_default().saturating_add(seconds(number * unit)?));
        rest = after[letters..].trim_start();
    }
}

/// Seconds of one unit.
fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// So many seconds: none for what is no number, nothing for a negative one, and all there is for
/// one that is too large.
pub(crate) fn seconds(number: f64) -> Option<Duration> {
    if number.is_nan() {
        return None;
    }
    Some(Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(Duration::MAX))
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
