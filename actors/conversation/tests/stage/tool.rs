//! A tool exec whose behaviour is the name of its tool.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Barrier;
use troupe_kit::{Context, Life, Mailbox, Role, StartError};
use troupe_messages::{ConversationMessage, ToolFact, ToolMessage};
use troupe_types::{
    Access, ApprovalAsk, CallDetail, CallFinished, CallItem, CallResult, Decision, ErrorClass,
    Outcome,
};

#[derive(Clone)]
pub struct Args {
    pub item: CallItem,
    pub conversation: Mailbox<ConversationMessage>,
    pub effects: Arc<Mutex<Vec<String>>>,
    /// Where three calls wait for each other.
    pub meeting: Arc<Barrier>,
}

pub struct Tool {
    args: Args,
    ran: bool,
    /// The end of the call, until it is in the log.
    end: Option<Box<CallFinished>>,
}

impl Role for Tool {
    type Message = ToolMessage;
    type Args = Args;

    async fn start(args: Args, _: Life<ToolMessage>) -> Result<Self, StartError> {
        Ok(Self { args, ran: false, end: None })
    }

    fn started(&mut self, cx: &mut Context<ToolMessage>) {
        match self.args.item.tool.as_str() {
            "read" => self.finish(Outcome::Completed, cx),
            // Later than what was started after it.
            "read_slow" => {
                let due = ToolMessage::AnswerDue { question: 0 };
                cx.after(Duration::from_millis(5), due);
            }
            "ask" | "ask_to_look" => {
                let ask = ApprovalAsk {
                    rule: Vec::new(),
                    action: "it".to_owned(),
                    reason: "because".to_owned(),
                    leaves_sandbox: false,
                    key: String::new(),
                };
                self.tell(ToolFact::Asked { ask, access: self.access() }, cx);
            }
            _ => self.starting(cx),
        }
    }

    fn handle(&mut self, message: &ToolMessage, cx: &mut Context<ToolMessage>) {
        match message {
            ToolMessage::Answered(answered) => match &answered.decision {
                Decision::Approved
                | Decision::ApprovedForSession
                | Decision::ApprovedWithRule { .. } => self.starting(cx),
                Decision::Denied { reason } => {
                    self.finish(Outcome::failed(ErrorClass::Denied, reason.clone()), cx);
                }
                Decision::Abort => self.finish(Outcome::Cancelled, cx),
            },
            ToolMessage::StartRecorded if !self.ran => {
                self.ran = true;
                let (effects, name) =
                    (Arc::clone(&self.args.effects), self.args.item.wire_id.clone());
                cx.run(move || effects.lock().unwrap().push(name));
                match self.args.item.tool.as_str() {
                    "hang" | "look_long" => {}
                    "meet" | "meet_to_write" => {
                        let meeting = Arc::clone(&self.args.meeting);
                        cx.task(move |life| async move {
                            meeting.wait().await;
                            let _refused = life.tell(ToolMessage::AnswerDue { question: 0 });
                        });
                    }
                    "die" => cx.task(|_| async { panic!("the tool's actor fails") }),
                    _ => self.finish(Outcome::Completed, cx),
                }
            }
            ToolMessage::FinishRecorded => cx.stop(),
            ToolMessage::Report => {
                match (self.end.clone(), self.args.item.tool.as_str()) {
                    (Some(end), _) => self.tell(ToolFact::Finished(end), cx),
                    // It is started again by its own answer.
                    (None, "ask" | "read_slow") => {}
                    (None, _) if !self.ran => self.starting(cx),
                    (None, _) => {}
                }
            }
            _ if self.end.is_some() => {}
            ToolMessage::AnswerDue { .. } => self.finish(Outcome::Completed, cx),
            ToolMessage::Cancel => self.finish(Outcome::Cancelled, cx),
            _ => {}
        }
    }
}

impl Tool {
    fn tell(&self, fact: ToolFact, cx: &mut Context<ToolMessage>) {
        let message = ConversationMessage::Tool { call: self.args.item.call, fact };
        cx.send_behind(&self.args.conversation, message);
    }

    fn starting(&self, cx: &mut Context<ToolMessage>) {
        let summary = self.args.item.tool.clone();
        let detail = CallDetail::Tool { summary };
        self.tell(ToolFact::Starting { detail, access: self.access() }, cx);
    }

    fn access(&self) -> Access {
        match self.args.item.tool.as_str() {
            "look" | "look_long" | "meet" | "ask_to_look" => Access::Read,
            "run" | "meet_to_write" | "ask" => Access::Command,
            _ => Access::Exclusive,
        }
    }

    fn finish(&mut self, outcome: Outcome, cx: &mut Context<ToolMessage>) {
        let end = CallFinished {
            call: self.args.item.call,
            outcome,
            result: CallResult::text(format!("done {}", self.args.item.wire_id)),
            detail: None,
            took_ms: 0,
        };
        self.end = Some(Box::new(end.clone()));
        self.tell(ToolFact::Finished(Box::new(end)), cx);
    }
}
