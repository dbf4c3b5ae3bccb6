//! Sandbox: starts processes for tool execs, held as their session's mode says.
//!
//! It hands each process to the tool exec that asked and keeps nothing of it, so its own crash kills
//! nothing. A launch is a task that begins when the handler commits: before that nothing has been
//! started and the order may be given again; a task that ends without an answer answers `Lost`.

mod order;

use std::{net::SocketAddr, sync::Arc};
use troupe_kit::{Context, Life, Mailbox, Role, StartError};
use troupe_messages::{
    EgressMessage, LaunchAnswer, LaunchOrder, LaunchRefusal, SandboxMessage, ToolMessage,
};
use troupe_sandbox::{EnvPolicy, Launcher, Surveyor};
use troupe_types::SandboxSettings;

/// Finds the doors of a session's commands.
pub type Doors = Arc<dyn Fn(&SandboxSettings) -> Vec<SocketAddr> + Send + Sync>;

/// What each incarnation is started with.
#[derive(Clone)]
pub struct Args {
    /// Starts the processes; outlives the role.
    pub launcher: Arc<Launcher>,
    /// What commands find in their environment.
    pub environment: Arc<EnvPolicy>,
    /// Finds what is worth protecting in workspaces.
    pub surveyor: Arc<Surveyor>,
    /// Finds the doors that rules for hosts mean: addresses of a command's own loopback that lead to the
    /// host's. It may read what listens here.
    pub doors: Doors,
    /// Serves commands' ways out.
    pub egress: Mailbox<EgressMessage>,
}

/// The role; see the crate's documentation.
pub struct SandboxActor {
    args: Args,
}

impl Role for SandboxActor {
    type Message = SandboxMessage;
    type Args = Args;
    const IDEMPOTENT: bool = true;

    async fn start(args: Args, _: Life<SandboxMessage>) -> Result<Self, StartError> {
        Ok(Self { args })
    }

    fn handle(&mut self, message: &SandboxMessage, cx: &mut Context<SandboxMessage>) {
        match message {
            SandboxMessage::Launch { order, tool } => self.on_launch(order, tool, cx),
            SandboxMessage::Warm => {
                let launcher = Arc::clone(&self.args.launcher);
                // A failure is told when something is to be started.
                cx.task(move |_| async move { drop(launcher.warm()) });
            }
        }
    }

    fn set_aside(&mut self, message: &SandboxMessage, cx: &mut Context<SandboxMessage>) {
        if let SandboxMessage::Launch { tool, .. } = message {
            cx.send(tool, ToolMessage::Launched(Err(LaunchRefusal::Lost)));
        }
    }
}

impl SandboxActor {
    fn on_launch(
        &self,
        order: &LaunchOrder,
        tool: &Mailbox<ToolMessage>,
        cx: &mut Context<SandboxMessage>,
    ) {
        let (args, order, asked) = (self.args.clone(), order.clone(), tool.clone());
        let mut answer = Answer { tool: tool.clone(), sent: false };
        cx.task(move |_| async move {
            let answered = order::launch(&args, &order, &asked).await;
            answer.send(answered);
        });
    }
}

/// Answers once, at the latest when it is dropped: also the end of this role is an answer.
struct Answer {
    tool: Mailbox<ToolMessage>,
    sent: bool,
}

impl Answer {
    fn send(&mut self, answer: LaunchAnswer) {
        if !std::mem::replace(&mut self.sent, true) {
            // A tool exec that is gone drops its process, which ends it.
            let _gone = self.tool.tell(ToolMessage::Launched(answer));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.send(Err(LaunchRefusal::Lost));
    }
}
