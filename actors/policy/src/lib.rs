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
//! deadline. Threads judge, several questions at once; the handler only hands over, and refuses what
//! takes too long.

mod codex;
mod judges;
mod keep;
mod pipeline;
mod rulebook;
mod stages;
mod suggest;
mod typed;

#[cfg(test)]
mod tests;

pub use codex::{ImportError, import_codex};
pub use keep::{KEPT_RULES, keep_rule};
pub use pipeline::{Case, Finding, Hook, Pipeline, Report, Requirements};
pub use rulebook::{Decided, Hit, RuleBook, RuleError, Ruling, Where};
pub use stages::command_key;
pub use suggest::{Suggestion, suggest};

use judges::{Asker, Job, Judges};
use keep::{append, rule_text};
use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::Instant};
use troupe_kit::{Context, Countdown, Life, Role, StartError};
use troupe_messages::{Judged, PolicyMessage, ToolMessage, Verdict};

/// How long the pipeline has for one question.
const PATIENCE: Duration = Duration::from_secs(5);

/// The role; see the crate's documentation.
pub struct Policy {
    pipeline: Arc<Pipeline>,
    judges: Judges,
    /// What was asked and may not be answered yet, the first asked first.
    asked: VecDeque<Asked>,
    /// A tick is under way in which the questions' time is counted.
    ticking: bool,
}

/// A question that the threads have.
struct Asked {
    asker: Arc<Asker>,
    patience: Countdown,
    /// When its tick began.
    since: Instant,
}

impl Role for Policy {
    type Message = PolicyMessage;
    type Args = Arc<Pipeline>;
    const IDEMPOTENT: bool = true;

    async fn start(pipeline: Arc<Pipeline>, _: Life<PolicyMessage>) -> Result<Self, StartError> {
        let judges = Judges::default();
        Ok(Self { pipeline, judges, asked: VecDeque::new(), ticking: false })
    }

    fn handle(&mut self, message: &PolicyMessage, cx: &mut Context<PolicyMessage>) {
        match message {
            PolicyMessage::Judge { call, question, approval, sandbox, cwd, approved, tool } => {
                let case = Case {
                    question: question.clone(),
                    approval: approval.clone(),
                    sandbox: sandbox.as_ref().clone(),
                    cwd: cwd.clone(),
                    approved: approved.clone(),
                };
                self.judge(case, Asker::new(*call, tool.clone()), cx);
            }
            PolicyMessage::Keep { prefix, argv, cwd } => self.keep(prefix, argv, cwd, cx),
            PolicyMessage::PatienceDue => self.on_patience_due(cx),
        }
    }

    fn set_aside(&mut self, message: &PolicyMessage, cx: &mut Context<PolicyMessage>) {
        if let PolicyMessage::Judge { tool, .. } = message {
            let why = "refused: the policy failed on this action twice".to_owned();
            cx.send(
                tool,
                ToolMessage::Judged(Judged { verdict: Verdict::Deny(why), read_only: false }),
            );
        }
    }
}

impl Policy {
    /// Has a case judged.
    fn judge(&mut self, case: Case, asker: Arc<Asker>, cx: &mut Context<PolicyMessage>) {
        let (pipeline, desk) = (Arc::clone(&self.pipeline), self.judges.desk());
        let asked = Asked {
            asker: Arc::clone(&asker),
            patience: Countdown::new(PATIENCE),
            since: Instant::now(),
        };
        // Handed over only if this handler returns: otherwise the question is given again.
        cx.run(move || desk.ask(Job { pipeline, case, asker }));
        self.asked.push_back(asked);
        self.tick(cx);
    }

    /// Counts the time of what is not answered, and refuses what takes too long.
    fn on_patience_due(&mut self, cx: &mut Context<PolicyMessage>) {
        self.ticking = false;
        let now = Instant::now();
        let judges = &self.judges;
        self.asked.retain_mut(|asked| {
            if asked.asker.is_answered() {
                return false;
            }
            asked.patience.count(now - asked.since);
            asked.since = now;
            let over = asked.patience.is_over();
            if over {
                judges.give_up(&asked.asker);
            }
            !over
        });
        self.tick(cx);
    }

    fn tick(&mut self, cx: &mut Context<PolicyMessage>) {
        if let Some(first) = self.asked.front()
            && !self.ticking
        {
            self.ticking = true;
            cx.after(first.patience.tick(), PolicyMessage::PatienceDue);
        }
    }

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
