//! The tool exec through its mailbox, with probes as conversation, policy and sandbox.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod background;
mod cancelling;
mod commands;
mod judging;
mod looking;
mod output;
mod patches;
mod puppet;
mod recording;
mod stage;
