//! macOS: Seatbelt holds a command, a keeper of its own ends it.
//!
//! There is no parent-death signal and no namespace here. So the host starts a keeper for each
//! command: this program again, whose standard input is a socket of the host's. It starts the
//! command in a session of its own and ends that when the socket closes, for whatever reason.
//! Written and type-checked; not yet seen running.

#![allow(
    unsafe_code,
    reason = "system calls that no library wraps; each block says why it is sound"
)]

mod host;
mod keeper;

pub use host::{Launcher, run_under};
pub use keeper::launcher_main;

use crate::{Enforcement, profile::Profile};

/// What holds a command of this profile on this machine.
#[must_use]
pub fn enforcement(profile: &Profile) -> Enforcement {
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    if !profile.sandboxed {
        return Enforcement {
            layers: text(&["own session; its process group ends with it"]),
            weaker: text(&["no sandbox: all the user's rights"]),
        };
    }
    let network = match profile {
        Profile { network: true, .. } => "network: on",
        Profile { proxied: true, .. } => "network: one port, to the proxy for allowed hosts",
        _ => "network: off",
    };
    Enforcement {
        layers: text(&[
            "Seatbelt: writes beneath the writable roots only; protected names read-only",
            "own session; its process group ends with it",
            network,
        ]),
        weaker: text(&[
            ".git is read-only: commands cannot commit",
            "a command that leaves its session and its group may outlive it",
            "loopback sockets among a command's own processes are refused with the network",
        ]),
    }
}

/// Nothing to raise: commands get what the host has.
pub fn raise_fd_limit() {}
