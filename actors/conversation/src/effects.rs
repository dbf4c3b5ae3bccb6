//! Carrying out what the machine decided.

use crate::{
    Conversation,
    core::{Effect, HeldProcess, StreamPlan, ToolPlan},
    prompt,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use troupe_kit::{Context, SupervisorMessage};
use troupe_messages::{
    Answered, BackgroundProcess, ConversationMessage, Notify, RecorderMessage, ReplayError,
    SandboxMessage, StreamMessage, StreamOrder, ToolMessage, ToolOrder,
};
use troupe_types::{CallId, Failure};

type Cx = Context<ConversationMessage>;

/// How long lines of the log may take to be read.
const READ_DEADLINE: Duration = Duration::from_secs(60);

impl Conversation {
    pub(crate) fn carry_out(&mut self, effect: Effect, cx: &mut Cx) {
        match effect {
            Effect::Append { seq, record, durability, notify } => {
                let notify = notify.and_then(|call| {
                    self.tools.get(&call).map(|tool| Notify { call, tool: tool.clone() })
                });
                let append = RecorderMessage::Append { seq, record, durability, notify };
                cx.send(&self.args.recorder, append);
            }
            Effect::StartStream(plan) => self.start_stream(*plan, cx),
            Effect::CancelStream(request) => {
                if let Some((_, stream)) = self.stream.as_ref().filter(|(id, _)| *id == request) {
                    cx.send(stream, StreamMessage::Cancel);
                }
            }
            Effect::StartTool(plan) => self.start_tool(*plan, cx),
            Effect::CancelTool(call) => self.tell_tool(call, ToolMessage::Cancel, cx),
            Effect::Report(call) => self.tell_tool(call, ToolMessage::Report, cx),
            Effect::Release(call) => self.tell_tool(call, ToolMessage::FinishRecorded, cx),
            Effect::Answer(call, decision) => {
                self.tell_tool(call, ToolMessage::Answered(Answered { decision }), cx);
            }
            Effect::Reply(op, result) => {
                for reply in self.replies.remove(&op).unwrap_or_default() {
                    cx.reply(&reply, result.clone());
                }
                self.replies.shrink_to_fit();
            }
            Effect::Refuse(failure) => {
                for reply in self.replies.drain().flat_map(|(_, replies)| replies) {
                    cx.reply(&reply, Err(failure.clone()));
                }
            }
            Effect::Mark => {
                let marker = ConversationMessage::MarkerCame { incarnation: cx.incarnation() };
                let myself = cx.myself().clone();
                cx.send_behind(&myself, marker);
            }
            Effect::Watch(turn, tick) => {
                self.tick = Some((turn, Instant::now()));
                cx.after(tick, ConversationMessage::WorkDue { turn });
            }
            Effect::ReadContext(offsets) => self.read_context(offsets, cx),
            Effect::Gather => self.gather(cx),
            Effect::Warm => cx.send(&self.args.sandbox, SandboxMessage::Warm),
            Effect::Pause(true) => cx.pause_bulk(),
            Effect::Pause(false) => cx.resume_bulk(),
            Effect::Rest(failure) => self.rest(Some(failure), cx),
            Effect::RetryLog => {
                self.rest(None, cx);
                cx.send(&self.args.recorder, RecorderMessage::Retry);
            }
            Effect::Fail(why) => cx.fail(why),
        }
    }

    fn rest(&self, why: Option<Failure>, cx: &mut Cx) {
        let rests = Arc::clone(&self.args.rests);
        cx.run(move || {
            rests.send_replace(why);
        });
    }

    fn tell_tool(&self, call: CallId, message: ToolMessage, cx: &mut Cx) {
        if let Some(tool) = self.tools.get(&call) {
            cx.send(tool, message);
        }
    }

    fn start_stream(&mut self, plan: StreamPlan, cx: &mut Cx) {
        let request = plan.request.request;
        let (spec, mailbox) = self.args.crew.stream(StreamOrder {
            request: plan.request,
            settings: Arc::clone(&self.args.settings),
            after_cut: plan.after_cut,
            retries: plan.retries,
            conversation: cx.myself().clone(),
        });
        cx.send(&self.args.supervisor, SupervisorMessage::add(spec));
        self.stream = Some((request, mailbox));
    }

    fn start_tool(&mut self, plan: ToolPlan, cx: &mut Cx) {
        let call = plan.call.call;
        let held = |process: HeldProcess| {
            Some(BackgroundProcess {
                tool: self.tools.get(&process.holder)?.clone(),
                process: process.process,
                command: process.command,
                cwd: process.cwd,
                outside: process.outside,
                ended: process.ended,
            })
        };
        let background = plan.background.into_iter().filter_map(held).collect();
        let (spec, mailbox) = self.args.crew.tool(ToolOrder {
            session: self.args.session,
            call: plan.call,
            settings: Arc::clone(&self.args.settings),
            approved: plan.approved,
            process: plan.process,
            background,
            conversation: cx.myself().clone(),
        });
        cx.send(&self.args.supervisor, SupervisorMessage::add(spec));
        if let Some(decision) = plan.answer {
            cx.send(&mailbox, ToolMessage::Answered(Answered { decision }));
        }
        self.tools.insert(call, mailbox);
    }

    fn read_context(&self, offsets: Vec<u64>, cx: &mut Cx) {
        let recorder = self.args.recorder.clone();
        cx.task(move |life| async move {
            let read = |reply| RecorderMessage::Read { offsets, reply };
            let lines = recorder.call(READ_DEADLINE, read).await.unwrap_or_else(|error| {
                Err(ReplayError(format!("the context cannot be read: {error}")))
            });
            let _refused = life.tell(ConversationMessage::ContextRead(Box::new(lines)));
        });
    }

    fn gather(&self, cx: &mut Cx) {
        let settings = Arc::clone(&self.args.settings);
        let (shell, today) = self.args.crew.surroundings();
        let open = self.args.crew.opener(&settings);
        cx.task(move |life| async move {
            let work = move || prompt::gather(&settings, &open, &shell, &today);
            match tokio::task::spawn_blocking(work).await {
                Ok(gathered) => {
                    let _refused = life.tell(ConversationMessage::Gathered(gathered));
                }
                // The runtime is ending, or the work panicked: that is this role's crash.
                Err(error) => {
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        });
    }
}
