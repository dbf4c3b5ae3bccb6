//! Exit codes: each class of failure has one.

use troupe_types::{ErrorClass, Outcome};

/// What each code means; the table of `docs/exec.md`.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "the turn was completed"),
    (1, "an actor kept failing, or another fault of troupe's own"),
    (2, "the command line cannot be used"),
    (
        3,
        "the configuration, or what the command line names (a session, a folder, an image), cannot be used; or there is no provider",
    ),
    (4, "the provider refused the credentials"),
    (5, "the provider cannot be reached, or its stream keeps breaking"),
    (6, "the provider limits the rate, or the quota is used up"),
    (7, "the context does not fit the model's window"),
    (8, "the provider refused the request, or reports an error of its own"),
    (9, "the session's log cannot be written or read"),
    (10, "the sandbox cannot hold commands"),
    (11, "the policy said no"),
    (12, "a deadline passed"),
    (13, "the model ended its answer and said nothing, also when it was asked again"),
    (130, "the turn was interrupted (128 + the number of the signal)"),
];

/// The code of a class of failure.
#[must_use]
pub fn exit_code(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Internal | ErrorClass::Tool => 1,
        ErrorClass::Config => 3,
        ErrorClass::Auth => 4,
        ErrorClass::Network => 5,
        ErrorClass::RateLimit | ErrorClass::Quota => 6,
        ErrorClass::ContextWindow => 7,
        ErrorClass::InvalidRequest | ErrorClass::Server => 8,
        ErrorClass::Storage => 9,
        ErrorClass::Sandbox => 10,
        ErrorClass::Denied => 11,
        ErrorClass::Timeout => 12,
        ErrorClass::NoAnswer => 13,
    }
}

/// The code of a turn's end.
#[must_use]
pub fn code_of(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Completed => 0,
        Outcome::Failed(failure) => exit_code(failure.class),
        Outcome::Cancelled => 130,
        Outcome::TimedOut => exit_code(ErrorClass::Timeout),
        Outcome::Lost => exit_code(ErrorClass::Internal),
    }
}

/// What to say of a turn that was not completed.
#[must_use]
pub fn message_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed => "completed".to_owned(),
        Outcome::Failed(failure) => failure.message.clone(),
        Outcome::Cancelled => "the turn was interrupted".to_owned(),
        Outcome::TimedOut => "the turn's time was up (turn_timeout_ms)".to_owned(),
        Outcome::Lost => "the turn was lost".to_owned(),
    }
}
