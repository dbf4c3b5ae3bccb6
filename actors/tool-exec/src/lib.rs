//! Tool exec: one call of the model, from its arguments to its result.
//!
//! It asks policy, has the call's start written down, and only then lets it take effect: a process
//! from sandbox, or a patch. Tools that only look at files run at once. Its tasks read the process's
//! output into a bounded buffer and a file beside the log. It is temporary: when it dies its process
//! dies with it, and the conversation says that the call is lost.

mod background;
mod finish;
mod news;
pub mod output;
mod patching;
mod prepare;
mod process;
mod reading;
mod spill;
pub mod tools;

use background::{Ask, Word};
use prepare::{Prepared, Typing};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use troupe_kit::{Context, Life, Mailbox, Ring, Role, StartError};
use troupe_messages::{
    BackgroundProcess, ConversationMessage, Interact, Interaction, Judged, LaunchAnswer,
    LaunchOrder, LaunchRefusal, PolicyMessage, ProcessNews, Question, SandboxMessage, ToolFact,
    ToolMessage, Verdict,
};
use troupe_types::{
    Access, ApprovalAsk, CallDetail, CallFinished, CallItem, CallResult, CommandEnd, Decision,
    ErrorClass, HostDecided, Outcome, ProcessEnded, Progress, RefusedHost, SandboxMode,
    SandboxSettings, SessionId, SessionSettings,
};

/// How long policy has; silence is a no.
const JUDGE: Duration = Duration::from_secs(10);
/// How long sandbox has to start a process.
const LAUNCH: Duration = Duration::from_secs(60);
/// What may wait to be told to the task of a background process: questions, and refused hosts, of which
/// the egress tells no more than this.
const WORDS: usize = 64;

/// Makes the test of what must not be read, from a session's settings; an error refuses all reading.
pub type Unreadable =
    Arc<dyn Fn(&SandboxSettings) -> Result<Box<dyn Fn(&Path) -> bool>, String> + Send + Sync>;

/// What a tool exec is started with.
#[derive(Clone)]
pub struct Args {
    /// The session.
    pub session: SessionId,
    /// The call.
    pub call: CallItem,
    /// The session's settings.
    pub settings: Arc<SessionSettings>,
    /// Who is told.
    pub conversation: Mailbox<ConversationMessage>,
    /// Who decides.
    pub policy: Mailbox<PolicyMessage>,
    /// Who starts processes.
    pub sandbox: Mailbox<SandboxMessage>,
    /// Where long outputs are kept; made when it is needed.
    pub folder: PathBuf,
    /// The path of the shell.
    pub shell: Arc<str>,
    /// What tools must not read under given settings.
    pub unreadable: Unreadable,
    /// Keys of what was approved for the session.
    pub approved: Vec<String>,
    /// The number of its process, if that goes on in the background.
    pub process: u64,
    /// The background processes of the session.
    pub background: Vec<BackgroundProcess>,
    /// Told of outputs as they come.
    pub progress: Ring<Progress>,
}

/// How far the call is.
enum State {
    /// Something that changes nothing outside runs, or nothing yet.
    Begun,
    /// Policy decides.
    Deciding,
    /// A person decides.
    Asking(Box<ApprovalAsk>),
    /// It waits for the record of its start: for the calls before it, and for the log.
    Recording {
        /// Without the sandbox.
        outside: bool,
    },
    /// Sandbox starts the process.
    Launching,
    /// It takes effect.
    Running,
    /// Another tool exec, which holds a process, is asked.
    Interacting,
    /// The call has finished; its process goes on.
    Background,
    /// The call has finished, and its end is on its way to the log.
    Finished,
}

/// The role; see the crate's documentation.
pub struct ToolExec {
    args: Args,
    prepared: Prepared,
    state: State,
    /// How many questions others were asked.
    questions: u64,
    /// The number of the question whose answer is awaited within a deadline.
    due: Option<u64>,
    began: Instant,
    /// Without the sandbox.
    outside: bool,
    /// What the call may change.
    access: Access,
    cancelled: Arc<AtomicBool>,
    cancel: watch::Sender<bool>,
    /// Where the task that holds a process is asked.
    desk: Option<mpsc::Sender<Word>>,
    /// Hosts that its command was refused.
    refused: Vec<RefusedHost>,
    /// The end of the call, until it is in the log.
    unrecorded: Option<Box<CallFinished>>,
    /// The end of its background process.
    ended: Option<ProcessEnded>,
}

impl Role for ToolExec {
    type Message = ToolMessage;
    type Args = Args;

    async fn start(args: Args, _: Life<ToolMessage>) -> Result<Self, StartError> {
        let prepared = prepare::prepare(&args).await;
        Ok(Self {
            args,
            access: prepared.access(false),
            prepared,
            state: State::Begun,
            questions: 0,
            due: None,
            began: Instant::now(),
            outside: false,
            cancelled: Arc::default(),
            cancel: watch::Sender::new(false),
            desk: None,
            refused: Vec::new(),
            unrecorded: None,
            ended: None,
        })
    }

    fn started(&mut self, cx: &mut Context<ToolMessage>) {
        match &self.prepared {
            Prepared::Refused(class, text) => {
                let finished = self.failed(*class, text.clone());
                self.finish(finished, cx);
            }
            Prepared::Unable(_, text) => {
                let finished = self.failed(ErrorClass::Tool, text.clone());
                self.finish(finished, cx);
            }
            Prepared::Look(_) => self.look(cx),
            Prepared::Plan(_) => {
                self.tell_plan(cx);
                let reply = CallResult::text(tools::PLAN_REPLY);
                let finished = self.finished(Outcome::Completed, reply);
                self.finish(finished, cx);
            }
            Prepared::Shell(_) | Prepared::Patch(_) | Prepared::Interact(_) => self.ask(cx),
        }
    }

    fn handle(&mut self, message: &ToolMessage, cx: &mut Context<ToolMessage>) {
        match message {
            ToolMessage::Judged(judged) => self.on_judged(judged, cx),
            ToolMessage::Answered(answered) => self.on_answered(&answered.decision, cx),
            ToolMessage::StartRecorded => self.on_start_recorded(cx),
            ToolMessage::FinishRecorded => self.on_finish_recorded(cx),
            ToolMessage::Launched(answer) => self.on_launched(answer, cx),
            ToolMessage::Done(finished) => self.on_done(finished, cx),
            ToolMessage::Process(ProcessNews::Ended(ended)) => {
                self.ended = Some(ended.clone());
                self.tell(ToolFact::ProcessEnded(ended.clone()), cx);
            }
            ToolMessage::Process(ProcessNews::Read) => {
                self.state = State::Finished;
                self.stop_if_recorded(cx);
            }
            ToolMessage::HostDecided(decided) => self.on_host_decided(decided, cx),
            ToolMessage::Interact(interact) => self.on_interact(interact, cx),
            ToolMessage::Interacted(answer) => self.on_interacted(answer.as_ref(), cx),
            ToolMessage::Cancel => self.on_cancel(cx),
            ToolMessage::Report => self.report(cx),
            ToolMessage::AnswerDue { question } => self.on_answer_due(*question, cx),
        }
    }

    fn stop(&mut self, cx: &mut Context<ToolMessage>) {
        // The session is being closed: what runs is killed when the task is dropped.
        self.cancelled.store(true, Ordering::Release);
        cx.stop();
    }
}

type Cx = Context<ToolMessage>;

impl ToolExec {
    fn ask(&mut self, cx: &mut Cx) {
        let Some(question) = self.prepared.question() else { return };
        let settings = &self.args.settings;
        cx.send(
            &self.args.policy,
            PolicyMessage::Judge {
                call: self.args.call.call,
                question,
                approval: settings.approval.clone(),
                sandbox: Box::new(settings.sandbox.clone()),
                cwd: settings.cwd.clone(),
                approved: self.args.approved.clone(),
                tool: cx.myself().clone(),
            },
        );
        self.state = State::Deciding;
        self.expect_within(JUDGE, cx);
    }

    fn expect_within(&mut self, wait: Duration, cx: &mut Cx) {
        self.questions += 1;
        self.due = Some(self.questions);
        cx.deadline(wait, ToolMessage::AnswerDue { question: self.questions });
    }

    fn on_judged(&mut self, judged: &Judged, cx: &mut Cx) {
        if !matches!(self.state, State::Deciding) {
            return;
        }
        self.due = None;
        self.access = self.prepared.access(judged.read_only);
        match &judged.verdict {
            Verdict::Allow => self.record(false, cx),
            Verdict::AllowOutside => self.record(true, cx),
            // A person takes what time it takes.
            Verdict::Ask(ask) => {
                self.state = State::Asking(Box::new(ask.clone()));
                self.tell(ToolFact::Asked { ask: ask.clone(), access: self.access }, cx);
            }
            Verdict::Deny(reason) => {
                let finished = self.failed(ErrorClass::Denied, reason.clone());
                self.finish(finished, cx);
            }
            Verdict::DenyWrite { why, reason } => {
                let outcome = Outcome::failed(ErrorClass::Denied, reason.clone());
                let finished = self.finished(outcome, CallResult::NotWritten { why: *why });
                self.finish(finished, cx);
            }
        }
    }

    fn on_answered(&mut self, decision: &Decision, cx: &mut Cx) {
        // A tool exec that was begun again may get the answer before it has asked again.
        if !matches!(self.state, State::Deciding | State::Asking(_)) {
            return;
        }
        self.due = None;
        match decision {
            Decision::ApprovedWithRule { prefix } => {
                if let Some(Question::Command { argv, cwd, escalate: None }) =
                    self.prepared.question()
                {
                    let keep = PolicyMessage::Keep { prefix: prefix.clone(), argv, cwd };
                    cx.send(&self.args.policy, keep);
                }
                self.record(self.prepared.leaves_sandbox(), cx);
            }
            Decision::Approved | Decision::ApprovedForSession => {
                self.record(self.prepared.leaves_sandbox(), cx);
            }
            Decision::Denied { reason } => {
                let text = match reason.trim() {
                    "" => "the user said no".to_owned(),
                    reason => format!("the user said no: {reason}"),
                };
                let finished = self.failed(ErrorClass::Denied, text);
                self.finish(finished, cx);
            }
            Decision::Abort => self.on_cancel(cx),
        }
    }

    /// Has the start written down; nothing runs before it is.
    fn record(&mut self, outside: bool, cx: &mut Cx) {
        self.state = State::Recording { outside };
        self.tell(self.starting(outside), cx);
    }

    fn starting(&self, outside: bool) -> ToolFact {
        ToolFact::Starting { detail: self.prepared.detail(outside), access: self.access }
    }

    fn tell_plan(&self, cx: &mut Cx) {
        if let Prepared::Plan(plan) = &self.prepared {
            self.tell(ToolFact::Planned(plan.clone()), cx);
        }
    }

    /// Says again what a record is awaited for.
    fn report(&self, cx: &mut Cx) {
        if let Some(finished) = &self.unrecorded {
            self.tell_plan(cx);
            self.tell(ToolFact::Finished(finished.clone()), cx);
        }
        if let Some(ended) = &self.ended {
            self.tell(ToolFact::ProcessEnded(ended.clone()), cx);
        }
        match &self.state {
            State::Asking(ask) => {
                let (ask, access) = (ask.as_ref().clone(), self.access);
                self.tell(ToolFact::Asked { ask, access }, cx);
            }
            State::Recording { outside } => self.tell(self.starting(*outside), cx),
            _ => {}
        }
    }

    fn on_start_recorded(&mut self, cx: &mut Cx) {
        // Only the first counts.
        let State::Recording { outside } = self.state else { return };
        self.began = Instant::now();
        self.outside = outside;
        match &self.prepared {
            Prepared::Shell(shell) => {
                let mut sandbox = self.args.settings.sandbox.clone();
                if outside {
                    sandbox.mode = SandboxMode::DangerFullAccess;
                }
                let order = LaunchOrder {
                    call: self.args.call.call,
                    argv: shell.argv.clone(),
                    cwd: shell.cwd.clone(),
                    workspace: self.args.settings.cwd.clone(),
                    sandbox,
                    folder: self.args.folder.clone(),
                    session: self.args.session.to_string(),
                    terminal: shell.keep.is_some_and(|keep| keep.terminal),
                };
                let tool = cx.myself().clone();
                let launch = SandboxMessage::Launch { order: Box::new(order), tool };
                cx.send(&self.args.sandbox, launch);
                self.state = State::Launching;
                self.expect_within(LAUNCH, cx);
            }
            Prepared::Patch(patch) => {
                self.state = State::Running;
                let (patch, call, began) = (patch.clone(), self.args.call.call, self.began);
                // Beside the sessions' logs: one place for all that a crash may have broken off.
                let journals = troupe_patch::journals(self.args.folder.parent());
                cx.task(move |life| async move {
                    let done = patching::apply(patch, journals, call, began).await;
                    let _refused = life.tell(ToolMessage::Done(Box::new(done)));
                });
            }
            Prepared::Interact(typing) => {
                self.state = State::Interacting;
                let Typing { process, input, wait, tokens } = typing.clone();
                let myself = cx.myself().clone();
                let interact = Interact { input, wait, tokens, asker: myself.clone() };
                cx.run(move || {
                    if process.tool.tell(ToolMessage::Interact(interact)).is_err() {
                        let _gone = myself.tell(ToolMessage::Interacted(None));
                    }
                });
                self.expect_within(wait + JUDGE, cx);
            }
            Prepared::Refused(..)
            | Prepared::Unable(..)
            | Prepared::Look(_)
            | Prepared::Plan(_) => {}
        }
    }

    fn on_launched(&mut self, answer: &LaunchAnswer, cx: &mut Cx) {
        if !matches!(self.state, State::Launching) {
            return;
        }
        self.due = None;
        let refused = match answer {
            Ok(process) => match (process.take(), &self.prepared) {
                (Some(running), Prepared::Shell(shell)) => {
                    self.state = State::Running;
                    if !running.weaker.is_empty() && !self.outside {
                        self.tell(ToolFact::Weaker(running.weaker.clone()), cx);
                    }
                    let work = process::Work {
                        args: self.args.clone(),
                        shell: shell.clone(),
                        began: self.began,
                        cancel: self.cancel.subscribe(),
                        outside: self.outside,
                    };
                    if let Some(keep) = shell.keep {
                        let (desk, words) = mpsc::channel(WORDS);
                        self.desk = Some(desk);
                        let held = background::Held::new(work, keep, words, running);
                        cx.task(move |life| held.run(life));
                        return;
                    }
                    cx.task(move |life| async move {
                        let done = work.run(running).await;
                        let _refused = life.tell(ToolMessage::Done(Box::new(done)));
                    });
                    return;
                }
                _ => self.lost(),
            },
            Err(LaunchRefusal::Lost) => self.lost(),
            Err(LaunchRefusal::Refused { class, message }) => self.failed(*class, message.clone()),
        };
        self.finish(refused, cx);
    }

    fn on_host_decided(&mut self, decided: &HostDecided, cx: &mut Cx) {
        if !decided.allowed {
            let host = finish::refused_host(decided);
            match (&self.state, &self.desk) {
                (State::Background, Some(desk)) => {
                    let desk = desk.clone();
                    // One that has no room for it stands in the log all the same.
                    cx.run(move || drop(desk.try_send(Word::Refused(host))));
                }
                _ => self.refused.push(host),
            }
        }
        self.tell(ToolFact::HostDecided(decided.clone()), cx);
    }

    fn on_done(&mut self, finished: &CallFinished, cx: &mut Cx) {
        if matches!(self.state, State::Finished) {
            return;
        }
        let mut finished = finished.clone();
        let mut goes_on = false;
        if let CallResult::Command(result) = &mut finished.result {
            result.refused_hosts.extend(self.refused.iter().cloned());
            goes_on = matches!(result.end, CommandEnd::Running { .. });
        }
        if goes_on {
            self.state = State::Background;
            return self.tell_end(finished, cx);
        }
        self.finish(finished, cx);
    }

    fn on_interact(&self, interact: &Interact, cx: &mut Cx) {
        let (desk, interact) = (self.desk.clone(), interact.clone());
        cx.run(move || {
            let ask = Ask::new(interact);
            if let Some(desk) = desk {
                // What does not fit is dropped, which is an answer.
                let _refused = desk.try_send(Word::Ask(ask));
            }
        });
    }

    fn on_interacted(&mut self, answer: Option<&Interaction>, cx: &mut Cx) {
        if !matches!(self.state, State::Interacting) {
            return;
        }
        let finished = match answer {
            Some(Interaction::Read(result)) => {
                self.finished(Outcome::Completed, CallResult::Command(result.clone()))
            }
            Some(Interaction::Refused(why)) => self.failed(ErrorClass::Tool, why.clone()),
            None => {
                let text =
                    "the process is gone: it ended, or the part of troupe that held it failed";
                self.failed(ErrorClass::Tool, text.to_owned())
            }
        };
        self.finish(finished, cx);
    }

    fn on_cancel(&mut self, cx: &mut Cx) {
        self.cancelled.store(true, Ordering::Release);
        match (&self.state, &self.prepared) {
            // Its task kills the process tree and says what came so far.
            (State::Running | State::Background, Prepared::Shell(_)) => {
                let cancel = self.cancel.clone();
                cx.run(move || {
                    cancel.send_replace(true);
                });
            }
            // The process may run already, and have printed something: its answer is near.
            (State::Launching, _) => {
                let cancel = self.cancel.clone();
                cx.run(move || {
                    cancel.send_replace(true);
                });
                self.expect_within(process::DRAIN, cx);
            }
            // It is over in a moment, and half of it would be worse.
            (State::Running, _) => {}
            (State::Finished, _) => {}
            _ => {
                let finished = self.finished(Outcome::Cancelled, CallResult::Nothing);
                self.finish(finished, cx);
            }
        }
    }

    fn on_answer_due(&mut self, question: u64, cx: &mut Cx) {
        if self.due != Some(question) {
            return;
        }
        let finished = match self.state {
            State::Deciding => {
                let text = "refused: the policy did not answer, which counts as a no".to_owned();
                self.failed(ErrorClass::Denied, text)
            }
            // Dropping the answer ends a process that comes all the same.
            State::Launching if self.cancelled.load(Ordering::Acquire) => {
                self.finished(Outcome::Cancelled, CallResult::Nothing)
            }
            State::Launching | State::Interacting => self.lost(),
            _ => return,
        };
        self.finish(finished, cx);
    }

    /// Runs a tool that only looks.
    fn look(&self, cx: &mut Cx) {
        let Prepared::Look(call) = &self.prepared else { return };
        let (call, id, began) = (call.clone(), self.args.call.call, self.began);
        let (settings, cancelled) = (Arc::clone(&self.args.settings), Arc::clone(&self.cancelled));
        let unreadable = Arc::clone(&self.args.unreadable);
        let folder = self.args.folder.clone();
        cx.task(move |life| async move {
            let work = move || {
                let stop = || cancelled.load(Ordering::Acquire);
                let tokens = finish::tokens(&settings);
                let mut scope = tools::Scope::new(&settings.cwd, tokens, &stop);
                let folder = folder.canonicalize().unwrap_or(folder);
                let result = match unreadable(&settings.sandbox) {
                    Ok(denied) => {
                        // The session's own long outputs are its own.
                        let denied = |path: &Path| denied(path) && !path.starts_with(&folder);
                        scope.denied = &denied;
                        tools::run_read_only(&call, scope)
                    }
                    Err(why) => Err(tools::ToolError::Unguarded(why)),
                };
                (result, call)
            };
            let done = match tokio::task::spawn_blocking(work).await {
                Ok((result, call)) => finish::looked(id, &call, result, began),
                // The runtime is ending, or the tool panicked: that is this role's crash.
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return,
                },
            };
            let _refused = life.tell(ToolMessage::Done(Box::new(done)));
        });
    }

    fn tell(&self, fact: ToolFact, cx: &mut Cx) {
        let message = ConversationMessage::Tool { call: self.args.call.call, fact };
        cx.send_behind(&self.args.conversation, message);
    }

    fn finish(&mut self, finished: CallFinished, cx: &mut Cx) {
        self.state = State::Finished;
        self.tell_end(finished, cx);
    }

    /// Says how the call ended. It is kept until it is in the log: it cannot be had again.
    fn tell_end(&mut self, finished: CallFinished, cx: &mut Cx) {
        let finished = Box::new(finished);
        self.unrecorded = Some(finished.clone());
        self.tell(ToolFact::Finished(finished), cx);
    }

    fn on_finish_recorded(&mut self, cx: &mut Cx) {
        self.unrecorded = None;
        self.stop_if_recorded(cx);
    }

    fn stop_if_recorded(&self, cx: &mut Cx) {
        if matches!(self.state, State::Finished) && self.unrecorded.is_none() {
            cx.stop();
        }
    }

    fn finished(&self, outcome: Outcome, result: CallResult) -> CallFinished {
        finish::finished(self.args.call.call, outcome, result, self.detail(), self.began)
    }

    fn failed(&self, class: ErrorClass, text: String) -> CallFinished {
        self.finished(Outcome::failed(class, text), CallResult::Nothing)
    }

    fn lost(&self) -> CallFinished {
        self.finished(Outcome::Lost, CallResult::Nothing)
    }

    fn detail(&self) -> Option<CallDetail> {
        match &self.prepared {
            Prepared::Refused(..) => None,
            prepared => Some(prepared.detail(self.outside)),
        }
    }
}
