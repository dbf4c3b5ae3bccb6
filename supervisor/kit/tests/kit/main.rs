//! The kit's contract, through mailboxes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[macro_use]
mod common;

mod commit;
mod faults;
mod mailboxes;
mod places;
mod policies;
mod ring;
mod slow;
mod stops;
mod stress;
mod supervisors;
mod tree;
