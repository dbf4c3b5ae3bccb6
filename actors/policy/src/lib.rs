//! Policy: the one authority on what may run, and where.
//!
//! For now its rules are fixed: the session's sandbox mode and approval policy decide. Tool execs
//! ask; it answers and changes nothing, so a question in hand may be given again. A question that
//! made it fail twice is answered with a no. Silence is a no as well: who asks has a deadline.

mod rules;

#[cfg(test)]
mod tests;

pub use rules::judge;

use troupe_kit::{Context, Life, Role, StartError};
use troupe_messages::{PolicyMessage, ToolMessage, Verdict};

/// The role; see the crate's documentation.
pub struct Policy;

impl Role for Policy {
    type Message = PolicyMessage;
    type Args = ();
    const IDEMPOTENT: bool = true;

    async fn start((): (), _: Life<PolicyMessage>) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handle(&mut self, message: &PolicyMessage, cx: &mut Context<PolicyMessage>) {
        let PolicyMessage::Judge { question, approval, sandbox, cwd, tool, .. } = message;
        cx.send(tool, ToolMessage::Judged(judge(question, approval, sandbox, cwd)));
    }

    fn set_aside(&mut self, message: &PolicyMessage, cx: &mut Context<PolicyMessage>) {
        let PolicyMessage::Judge { tool, .. } = message;
        let why = "refused: the policy failed on this action twice".to_owned();
        cx.send(tool, ToolMessage::Judged(Verdict::Deny(why)));
    }
}
