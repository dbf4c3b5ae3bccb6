//! The role, through its mailbox.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test")]

mod hanging;
mod kept;
mod stage;
