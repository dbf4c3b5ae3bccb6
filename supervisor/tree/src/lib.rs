//! Troupe, the library: a company of supervised actors that holds conversations with a model.
//!
//! [`Troupe::start`] starts the company, [`Troupe::open`] opens a session, [`Conversation::submit`]
//! says what to do and [`Conversation::events`] what happens; see `docs/embedding.md`. This is the
//! one place that wires the actors together; front ends are written against just this.

mod conversation;
mod crew;
mod events;
mod grow;
mod opening;
mod parts;
mod session;
mod setup;
mod troupe;

pub use conversation::{Accepted, Conversation};
pub use events::Events;
pub use grow::grow_log;
pub use opening::{OpenError, Opening};
pub use setup::{Setup, Variables, pipeline};
pub use troupe::Troupe;

pub use troupe_config as config;
pub use troupe_conversation::Work;
pub use troupe_kit::{Exit, Fault, Faults, Landed, LaneView, Moment, NodeView, Phase, Stuck};
pub use troupe_messages::ReplayLine;
pub use troupe_patch::Recovered;
pub use troupe_providers::{
    Asked, Endpoint, Found, Http, HttpOptions, LOCAL_SERVERS, ask_for_models, discover,
};
pub use troupe_recorder::{
    HookAction, LogHook, LogPath, LogPoint, LogReader, Removal, RemoveRules, SessionSummary,
    ShortIds, finish_removals, list_sessions, matching, remove_session, session_ids, stored_bytes,
};
pub use troupe_sandbox::{raise_fd_limit, run_if_launcher};
/// What decides on what may run.
pub mod policy {
    pub use troupe_messages::{Question, Verdict};
    pub use troupe_policy::*;
    pub use troupe_shell::Class;
}
pub use troupe_types as types;
