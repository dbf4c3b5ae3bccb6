//! Retries by kind of failure, and how long they may take.

#![allow(clippy::panic, reason = "a test")]

use super::{Failures, Limits, Next};
use std::time::Duration;
use troupe_providers::{ModelError, Retry};
use troupe_types::{ErrorClass, Failure};

const MINUTES: Duration = Duration::from_secs(300);

fn limits(used: u32, most: u32) -> Limits {
    Limits { used, most, longest: MINUTES }
}

fn error(retry: Retry, message: &str) -> ModelError {
    let failure = Failure { class: ErrorClass::Server, message: message.to_owned() };
    ModelError { failure, retry, status: Some(500) }
}

/// Whether there is another attempt after each of these failures, until there is none.
fn attempts(errors: impl IntoIterator<Item = ModelError>, most: u32) -> usize {
    let mut failures = Failures::default();
    let goes_on = |error| matches!(failures.next(error, limits(0, most), || 0.5), Next::Wait(_));
    errors
        .into_iter()
        .map_while({
            let mut goes_on = goes_on;
            move |error| goes_on(error).then_some(())
        })
        .count()
}

#[test]
fn a_failure_that_stays_is_not_tried_as_often_as_one_that_passes() {
    let same = |retry| std::iter::repeat_with(move || error(retry, "the same")).take(50);
    assert_eq!(attempts(same(Retry::Backoff), 5), 5);
    assert_eq!(attempts(same(Retry::Doubtful { most: 2 }), 5), 2);
    assert_eq!(attempts(same(Retry::Doubtful { most: 1 }), 5), 1);
    assert_eq!(attempts(same(Retry::Doubtful { most: 0 }), 5), 0);
    assert_eq!(attempts(same(Retry::Never), 5), 0);
    // What is another failure each time does not stay.
    let others = (0..50).map(|n| error(Retry::Doubtful { most: 1 }, &n.to_string()));
    assert_eq!(attempts(others, 5), 5);
    // The budget of the turn holds for all of them.
    assert_eq!(attempts(same(Retry::Doubtful { most: 9 }), 2), 2);
    assert_eq!(attempts(same(Retry::After(Duration::ZERO)), 3), 3);
}

#[test]
fn a_wait_that_is_too_long_ends_the_turn_and_says_so() {
    for (named, told) in [
        (MINUTES + Duration::from_millis(1), "wait 5 min 1 s"),
        (Duration::from_secs(86_400), "wait 24 h"),
        (Duration::MAX, "wait more than a year"),
    ] {
        let error = error(Retry::After(named), "slow down");
        match Failures::default().next(error, limits(0, 5), || 0.5) {
            Next::GiveUp(failure) => {
                assert_eq!(failure.class, ErrorClass::RateLimit);
                assert!(failure.message.starts_with("slow down; "), "{failure}");
                assert!(failure.message.contains(told), "{failure}");
                assert!(failure.message.contains("allows 5 min"), "{failure}");
                assert!(!failure.message.contains('\n') && !failure.message.contains("  "));
            }
            next @ Next::Wait(_) => panic!("{named:?}: {next:?}"),
        }
    }
    let next = Failures::default().next(error(Retry::After(MINUTES), "x"), limits(0, 5), || 0.5);
    assert_eq!(next, Next::Wait(MINUTES));
}

#[test]
fn no_wait_is_longer_than_the_longest_or_none_at_all() {
    let short = Limits { used: 0, most: 100, longest: Duration::from_secs(2) };
    let mut failures = Failures::default();
    for retry in [Retry::Backoff, Retry::After(Duration::ZERO)].into_iter().cycle().take(50) {
        match failures.next(error(retry, "x"), short, || 1.0) {
            Next::Wait(wait) => {
                assert!(wait > Duration::from_millis(100) && wait <= short.longest, "{wait:?}");
            }
            Next::GiveUp(failure) => panic!("{failure}"),
        }
    }
}

#[test]
fn the_wait_follows_the_retries_before_this_request() {
    let first = Failures::default().next(error(Retry::Backoff, "x"), limits(0, 5), || 0.5);
    let third = Failures::default().next(error(Retry::Backoff, "x"), limits(2, 5), || 0.5);
    let none = Failures::default().next(error(Retry::Backoff, "x"), limits(5, 5), || 0.5);
    assert_eq!(first, Next::Wait(Duration::from_millis(200)));
    assert_eq!(third, Next::Wait(Duration::from_millis(800)));
    assert!(matches!(none, Next::GiveUp(_)));
}
