//! Egress: the way out of commands' networks, for the hosts that rules name.
//!
//! Sandbox hands it the listener in each command's own network; it serves that until the command has
//! ended, and tells the command's tool exec of every decision. Its connections are its own tasks: when
//! it dies they go with it, and a command without it reaches nobody.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpListener;
use troupe_egress::{Decision, Rules, serve};
use troupe_kit::{Context, Life, Mailbox, Role, StartError};
use troupe_messages::{EgressMessage, ToolMessage, WayParts};
use troupe_types::{CallId, HostDecided};

/// Different decisions of one command that are told.
const MOST_TOLD: usize = 64;

/// The role; see the crate's documentation.
pub struct Egress;

impl Role for Egress {
    type Message = EgressMessage;
    type Args = ();

    async fn start((): (), _: Life<EgressMessage>) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handle(&mut self, message: &EgressMessage, cx: &mut Context<EgressMessage>) {
        let EgressMessage::Serve { way, call, allow, deny, tool } = message;
        // Rules that cannot be read allow nothing: the listener is dropped.
        let (Some(parts), Ok(rules)) = (way.take(), Rules::new(allow, deny)) else {
            return;
        };
        let WayParts { proxy, doors, ended } = parts;
        let (call, tool) = (*call, tool.clone());
        cx.task(move |life| async move {
            // What cannot be served is dropped, and refused by that.
            let Ok(proxy) = TcpListener::from_std(proxy) else { return };
            let doors = doors.into_iter().filter_map(|door| TcpListener::from_std(door).ok());
            let doors = doors.collect();
            let told = teller(call, tool, life);
            let until = async { drop(ended.await) };
            serve(proxy, doors, Arc::new(rules), told, until).await;
        });
    }
}

/// Tells the tool exec of each decision once.
fn teller(
    call: CallId,
    tool: Mailbox<ToolMessage>,
    life: Life<EgressMessage>,
) -> impl Fn(Decision) + Send + Sync + Clone + 'static {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let life = Arc::new(life);
    move |decision: Decision| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_TOLD || !seen.insert(decision.clone()) {
            return;
        }
        let Decision { host, port, allowed, reason } = decision;
        let told = HostDecided { call, host, port, allowed, reason };
        // A tool exec that is gone has no use for it.
        let _gone = life.tell_to(&tool, ToolMessage::HostDecided(told));
    }
}
