//! Ids: UUIDv7 newtypes, so that they sort by the time they were made.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what} (expected a UUID such as 0199c0de-0000-7000-8000-000000000000)")]
pub struct IdError {
    /// What was expected, for instance `a session id`.
    what: &'static str,
    /// The text that was given.
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later than every id made before it in this process.
            #[allow(clippy::new_without_default, reason = "a default id would not be a value")]
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with this value.
            #[must_use]
            pub const fn from_u128(value: u128) -> Self {
                Self(Uuid::from_u128(value))
            }

            /// When the id was made, in milliseconds since 1970; 0 if it carries no time.
            #[must_use]
            pub fn made_at_ms(&self) -> u64 {
                self.0.get_timestamp().map_or(0, |time| {
                    let (seconds, nanos) = time.to_unix();
                    seconds * 1000 + u64::from(nanos / 1_000_000)
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| IdError { what: $what, text: text.to_owned() })
            }
        }
    };
}

id!(
    /// One session: a conversation and its log.
    SessionId,
    "a session id"
);
id!(
    /// One turn: from an accepted prompt to its end.
    TurnId,
    "a turn id"
);
id!(
    /// One operation a front end submits; re-sending it changes nothing.
    OpId,
    "an operation id"
);
id!(
    /// One request to the model.
    RequestId,
    "a request id"
);
id!(
    /// One tool call. Ours, not the model's: models repeat or omit theirs.
    CallId,
    "a call id"
);
