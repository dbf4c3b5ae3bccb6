//! The way out of a command's network: a proxy that lets through what rules name.
//!
//! A command whose network is held has nothing but a loopback of its own, with one listener on it:
//! this proxy, which speaks HTTP (`CONNECT`, and plain requests) and SOCKS 5 on the same port. It
//! resolves names itself, checks name and port against the rules before it asks anybody, and every
//! address it got before it connects to just that address. What is private is refused unless a rule
//! names it. It fails closed: what cannot be read or decided is refused.
//!
//! What listens on the host's loopback and is allowed has a door: a listener at the same address and port
//! of the command's own loopback, from which every connection is passed on. Programs ask no proxy for
//! loopback, and most cannot.

mod doors;
mod http;
mod public;
mod rules;
mod serve;
mod socks;

pub use http::{Asked, HttpError, read_head};
pub use public::is_public;
pub use rules::{Host, RuleError, Rules, Verdict};
pub use serve::{Decision, serve};
pub use socks::{SocksError, read_greeting, read_request};
