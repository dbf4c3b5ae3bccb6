//! A company of one tool exec and probes that pass on what they are told.

use serde_json::Value;
use std::{fs, future::Future, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::yield_now, time::timeout};
use troupe_kit::{
    ChildSpec, Company, Context, Exit, Kit, Life, Mailbox, Order, Restart, Ring, Role, Root,
    StartError,
};
use troupe_messages::{
    Answered, BackgroundProcess, ConversationMessage, Interaction, Judged, LaunchAnswer,
    LaunchOrder, PolicyMessage, Process, Question, Running, SandboxMessage, ToolFact, ToolMessage,
    Verdict,
};
use troupe_tool_exec::{Args, ToolExec};
use troupe_types::{
    Access, ApprovalAsk, CallDetail, CallFinished, CallId, CallInput, CallItem, CommandResult,
    Content, Decision, HostDecided, PlanUpdated, ProcessEnded, Progress, SessionId,
    SessionSettings,
};

/// Longer than every deadline of the role, so that a clock that jumps meets those first.
const PATIENCE: Duration = Duration::from_secs(150);

/// Something the tool exec said, to whomever.
#[derive(Debug)]
pub(crate) enum Said {
    Judge(Question),
    Asked(ApprovalAsk, Access),
    Planned(PlanUpdated),
    Starting(CallDetail, Access),
    Launch(Box<LaunchOrder>),
    Finished(Box<CallFinished>),
    Keep(Vec<String>),
    Ended(ProcessEnded),
    Interacted(Option<Interaction>),
    Decided(HostDecided),
    Gone(Exit),
}

/// Passes on what it is told.
struct Probe<M>(mpsc::Sender<Said>, std::marker::PhantomData<M>);

trait Told: std::fmt::Debug + Send + 'static {
    fn said(&self) -> Said;
}

impl Told for ConversationMessage {
    fn said(&self) -> Said {
        match self {
            Self::Tool { fact: ToolFact::Asked { ask, access }, .. } => {
                Said::Asked(ask.clone(), *access)
            }
            Self::Tool { fact: ToolFact::Starting { detail, access }, .. } => {
                Said::Starting(detail.clone(), *access)
            }
            Self::Tool { fact: ToolFact::Planned(plan), .. } => Said::Planned(plan.clone()),
            Self::Tool { fact: ToolFact::Finished(end), .. } => Said::Finished(end.clone()),
            Self::Tool { fact: ToolFact::ProcessEnded(end), .. } => Said::Ended(end.clone()),
            Self::Tool { fact: ToolFact::HostDecided(decided), .. } => {
                Said::Decided(decided.clone())
            }
            Self::ToolGone { exit, .. } => Said::Gone(exit.clone()),
            other => panic!("not for a conversation: {other:?}"),
        }
    }
}

/// Another tool exec, which asks.
impl Told for ToolMessage {
    fn said(&self) -> Said {
        match self {
            Self::Interacted(answer) => Said::Interacted(answer.clone()),
            other => panic!("not for another tool exec: {other:?}"),
        }
    }
}

impl Told for PolicyMessage {
    fn said(&self) -> Said {
        match self {
            Self::Judge { question, .. } => Said::Judge(question.clone()),
            Self::Keep { prefix, .. } => Said::Keep(prefix.clone()),
            Self::PatienceDue => panic!("not for a tool exec to say"),
        }
    }
}

impl Told for SandboxMessage {
    fn said(&self) -> Said {
        match self {
            Self::Launch { order, .. } => Said::Launch(order.clone()),
            Self::Warm => panic!("not for a tool exec to say"),
        }
    }
}

impl<M: Told> Role for Probe<M> {
    type Message = M;
    type Args = mpsc::Sender<Said>;

    async fn start(out: mpsc::Sender<Said>, _: Life<M>) -> Result<Self, StartError> {
        Ok(Self(out, std::marker::PhantomData))
    }

    fn handle(&mut self, message: &M, cx: &mut Context<M>) {
        let (out, said) = (self.0.clone(), message.said());
        cx.run(move || out.try_send(said).unwrap());
    }
}

/// What is known before the tool exec is started.
pub(crate) struct Scene {
    /// The session's directory.
    pub(crate) folder: TempDir,
    /// Where long outputs go; not made yet.
    pub(crate) outputs: TempDir,
    pub(crate) settings: SessionSettings,
    pub(crate) call: CallItem,
    pub(crate) background: Vec<BackgroundProcess>,
}

impl Scene {
    pub(crate) fn new(tool: &str, arguments: &Value) -> Self {
        Self::with(tool, CallInput::Json(arguments.to_string()))
    }

    pub(crate) fn with(tool: &str, input: CallInput) -> Self {
        let folder = TempDir::new().unwrap();
        let settings = SessionSettings { cwd: folder.path().to_owned(), ..Default::default() };
        let (call, wire_id) = (CallId::new(), "call_1".to_owned());
        let call = CallItem { call, wire_id, id: None, tool: tool.to_owned(), input, opaque: None };
        let outputs = TempDir::new().unwrap();
        Self { folder, outputs, settings, call, background: Vec::new() }
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        fs::create_dir(self.folder.path().join(name)).unwrap();
        self
    }

    pub(crate) fn begin(self) -> Stage {
        let kit = Kit::default();
        let (out, said) = mpsc::channel(1000);
        let conversation = Mailbox::new(&kit, "root/conversation", 4);
        let policy = Mailbox::new(&kit, "root/policy", 1);
        let sandbox = Mailbox::new(&kit, "root/sandbox", 1);
        let tool = Mailbox::new(&kit, "root/tool", 1);
        let asker = Mailbox::new(&kit, "root/asker", 1);
        let progress = Ring::new(1000);
        let call = self.call.call;
        let args = Args {
            session: SessionId::new(),
            call: self.call,
            settings: Arc::new(self.settings),
            conversation: conversation.clone(),
            policy: policy.clone(),
            sandbox: sandbox.clone(),
            folder: self.outputs.path().join("session"),
            shell: "/bin/sh".into(),
            approved: Vec::new(),
            process: 12,
            background: self.background,
            unreadable: Arc::new(|_| Ok(Box::new(|path| path.ends_with("secret")))),
            progress: progress.clone(),
        };
        let gone = conversation.clone();
        let spec = ChildSpec::of::<ToolExec>("tool", &tool, args)
            .restart(Restart::Temporary)
            .on_exit(move |exit| {
                let exit = exit.clone();
                let _refused = gone.tell_behind(ConversationMessage::ToolGone { call, exit });
            })
            .build();
        let told =
            ChildSpec::of::<Probe<ConversationMessage>>("conversation", &conversation, out.clone());
        let asked = ChildSpec::of::<Probe<PolicyMessage>>("policy", &policy, out.clone());
        let asking = ChildSpec::of::<Probe<ToolMessage>>("asker", &asker, out.clone());
        let ordered = ChildSpec::of::<Probe<SandboxMessage>>("sandbox", &sandbox, out);
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(told.build())
            .with(asked.build())
            .with(ordered.build())
            .with(asking.build())
            .with(spec);
        let (folder, outputs) = (self.folder, self.outputs);
        let root = Root::start(company);
        Stage { root, tool, asker, said, progress, call, folder, outputs }
    }
}

/// A tool exec at work.
pub(crate) struct Stage {
    pub(crate) root: Root,
    pub(crate) tool: Mailbox<ToolMessage>,
    /// Another tool exec.
    pub(crate) asker: Mailbox<ToolMessage>,
    said: mpsc::Receiver<Said>,
    pub(crate) progress: Ring<Progress>,
    pub(crate) call: CallId,
    pub(crate) folder: TempDir,
    outputs: TempDir,
}

impl Stage {
    pub(crate) fn tell(&self, message: ToolMessage) {
        self.tool.tell(message).unwrap();
    }

    pub(crate) fn judge(&self, verdict: Verdict) {
        self.tell(ToolMessage::Judged(Judged { verdict, read_only: false }));
    }

    pub(crate) fn answer(&self, decision: Decision) {
        self.tell(ToolMessage::Answered(Answered { decision }));
    }

    pub(crate) fn launched(&self, running: Running) {
        self.answer_launch(Ok(Process::new(running)));
    }

    pub(crate) fn answer_launch(&self, answer: LaunchAnswer) {
        self.tell(ToolMessage::Launched(answer));
    }

    pub(crate) async fn next(&mut self) -> Said {
        within(self.said.recv()).await.unwrap()
    }

    /// Lets everything happen that can happen now; nothing of it may be said.
    pub(crate) async fn quiet(&mut self) {
        for _ in 0..200 {
            yield_now().await;
        }
        if let Ok(said) = self.said.try_recv() {
            panic!("said out of turn: {said:?}");
        }
    }

    pub(crate) async fn question(&mut self) -> Question {
        match self.next().await {
            Said::Judge(question) => question,
            other => panic!("expected a question to policy: {other:?}"),
        }
    }

    pub(crate) async fn starting(&mut self) -> CallDetail {
        match self.next().await {
            Said::Starting(detail, _) => detail,
            other => panic!("expected a start: {other:?}"),
        }
    }

    pub(crate) async fn order(&mut self) -> LaunchOrder {
        match self.next().await {
            Said::Launch(order) => *order,
            other => panic!("expected a launch: {other:?}"),
        }
    }

    /// The end of the call, whose role goes on once it is recorded.
    pub(crate) async fn left(&mut self) -> CallFinished {
        let finished = self.told_end().await;
        self.tell(ToolMessage::FinishRecorded);
        finished
    }

    /// The end of the call, which is not recorded yet.
    pub(crate) async fn told_end(&mut self) -> CallFinished {
        match self.next().await {
            Said::Finished(finished) => *finished,
            other => panic!("expected an end: {other:?}"),
        }
    }

    pub(crate) async fn interacted(&mut self) -> Option<Interaction> {
        match self.next().await {
            Said::Interacted(answer) => answer,
            other => panic!("expected an answer: {other:?}"),
        }
    }

    pub(crate) async fn decided(&mut self) -> HostDecided {
        match self.next().await {
            Said::Decided(decided) => decided,
            other => panic!("expected a decision on a host: {other:?}"),
        }
    }

    pub(crate) async fn ended(&mut self) -> ProcessEnded {
        match self.next().await {
            Said::Ended(end) => end,
            other => panic!("expected the end of a process: {other:?}"),
        }
    }

    pub(crate) async fn gone(&mut self) {
        match self.next().await {
            Said::Gone(Exit::Normal) => {}
            other => panic!("expected the role's normal end: {other:?}"),
        }
    }

    /// The end of the call, which is also the end of the role.
    pub(crate) async fn finished(&mut self) -> CallFinished {
        let finished = match self.next().await {
            Said::Finished(finished) => *finished,
            other => panic!("expected an end: {other:?}"),
        };
        self.tell(ToolMessage::FinishRecorded);
        self.gone().await;
        assert_eq!(finished.call, self.call);
        finished
    }

    /// On to the launch, with policy's yes and the record of the start.
    pub(crate) async fn reach_launch(&mut self) -> LaunchOrder {
        self.question().await;
        self.judge(Verdict::Allow);
        self.starting().await;
        self.tell(ToolMessage::StartRecorded);
        self.order().await
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The names in the session's directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }

    /// Where a long output is kept.
    pub(crate) fn kept(&self) -> std::path::PathBuf {
        self.outputs.path().join("session").join(format!("{}.out", self.call))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap()
}

/// What the model is shown.
pub(crate) fn text(finished: &CallFinished) -> String {
    let Some(Content::Text { text }) = finished.for_model().into_iter().next() else {
        panic!("{finished:?}")
    };
    text
}

/// What came of a command.
pub(crate) fn result(finished: &CallFinished) -> &CommandResult {
    finished.result.command().unwrap_or_else(|| panic!("{finished:?}"))
}
