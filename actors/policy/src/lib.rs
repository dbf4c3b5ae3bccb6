//! Policy: the one authority on what may run, and where.
//!
//! Every action of the model goes through one pipeline, in this order: what the machine's owner
//! requires, the user's rules, what was approved in this session, what the action would do, and the
//! approval policy. A stage that fails, panics or takes too long is a no, with the reason. Two
//! questions are kept apart: whether something may run, and inside which sandbox; a rule that allows
//! does not widen the sandbox.
//!
//! Tool execs ask; it answers and changes nothing, so a question in hand may be given again. A
//! question that made it fail twice is answered with a no. Silence is a no as well: who asks has a
//! deadline.

mod codex;
mod keep;
mod pipeline;
mod rulebook;
mod stages;
mod suggest;
mod typed;
mod worker;

#[cfg(test)]
mod tests;

pub use codex::{ImportError, import_codex};
pub use keep::{KEPT_RULES, keep_rule};
pub use pipeline::{Case, Finding, Hook, Pipeline, Report, Requirements};
pub use rulebook::{Decided, Hit, RuleBook, RuleError, Ruling, Where};
pub use stages::command_key;
pub use suggest::{Suggestion, suggest};

use keep::{append, rule_text};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;
use troupe_kit::{Context, Life, Role, StartError};
use troupe_messages::{Judged, PolicyMessage, ToolMessage, Verdict};
use worker::Worker;

/// How long the pipeline has for one question.
const PATIENCE: Duration = Duration::from_secs(5);

/// The role; see the crate's documentation.
pub struct Policy {
    pipeline: Arc<Pipeline>,
    worker: Worker,
}

impl Role for Policy {
    type Message = PolicyMessage;
    type Args = Arc<Pipeline>;
    const IDEMPOTENT: bool = true;

    async fn start(pipeline: Arc<Pipeline>, _: Life<PolicyMessage>) -> Result<Self, StartError> {
        Ok(Self { pipeline, worker: Worker::default() })
    }

    fn handle(&mut self, message: &PolicyMessage, cx: &mut Context<PolicyMessage>) {
        let case = match message {
            PolicyMessage::Judge { question, approval, sandbox, cwd, approved, .. } => Case {
                question: question.clone(),
                approval: approval.clone(),
                sandbox: sandbox.as_ref().clone(),
                cwd: cwd.clone(),
                approved: approved.clone(),
            },
            PolicyMessage::Keep { prefix, argv, cwd } => return self.keep(prefix, argv, cwd, cx),
        };
        let judged = self.worker.judge(&self.pipeline, &case, PATIENCE);
        answer(message, judged, cx);
    }

    fn set_aside(&mut self, message: &PolicyMessage, cx: &mut Context<PolicyMessage>) {
        let why = "refused: the policy failed on this action twice".to_owned();
        answer(message, Judged { verdict: Verdict::Deny(why), read_only: false }, cx);
    }
}

fn answer(message: &PolicyMessage, judged: Judged, cx: &mut Context<PolicyMessage>) {
    if let PolicyMessage::Judge { tool, .. } = message {
        cx.send(tool, ToolMessage::Judged(judged));
    }
}

impl Policy {
    /// Keeps a rule, from now on and in its file.
    fn keep(
        &mut self,
        prefix: &[String],
        argv: &[String],
        cwd: &Path,
        cx: &mut Context<PolicyMessage>,
    ) {
        let Some(file) = self.pipeline.kept.clone() else { return };
        let Some(rule) = rule_text(prefix, argv, cwd) else {
            tracing::warn!(?prefix, "a rule that may not be kept was answered with");
            return;
        };
        let mut pipeline = self.pipeline.as_ref().clone();
        let book = pipeline.rules.get_or_insert_with(|| Ok(RuleBook::default()));
        match book {
            // Broken rules refuse everything as it is.
            Err(_) => return,
            Ok(book) => {
                if let Err(error) = book.add(&rule, &file) {
                    tracing::error!(%error, "a rule cannot be kept");
                    return;
                }
            }
        }
        self.pipeline = Arc::new(pipeline);
        cx.task(move |_| async move {
            let kept = spawn_blocking(move || append(&file, &rule)).await;
            if let Ok(Err(error)) = kept {
                tracing::error!(%error, "a rule is kept for this run only");
            }
        });
    }
}
