//! A session around the real conversation: a log in memory, streams and tools that play a script.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a part of several tests, each of which uses some of it"
)]

mod log;
mod stream;
mod tool;

pub use log::Log;
pub use stream::{Beat, answer, call, calls, cut, nothing, only, outputs, says};

use std::{
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};
use tokio::sync::{Barrier, watch};
use troupe_conversation::{Args, Conversation};
use troupe_kit::{CallError, ChildSpec, Company, Kit, Mailbox, Order, Restart, Root};
use troupe_messages::{
    ConversationMessage, Crew, Opener, RecorderMessage, StreamMessage, StreamOrder, ToolMessage,
    ToolOrder,
};
use troupe_types::{
    Failure, ModelRequest, Op, OpId, Record, SessionId, SessionSettings, Submission, ToolKind,
    ToolSpec, Traits,
};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// Answers a request.
pub type Script = Arc<dyn Fn(&ModelRequest) -> Vec<Beat> + Send + Sync>;

pub struct Stage {
    pub kit: Kit,
    pub root: Root,
    pub log: Arc<Log>,
    pub mailbox: Mailbox<ConversationMessage>,
    pub requests: Arc<Mutex<Vec<ModelRequest>>>,
    /// Why nothing runs any more, while the log cannot be written.
    pub rests: Arc<watch::Sender<Option<Failure>>>,
    /// What tools took effect, in order.
    pub effects: Arc<Mutex<Vec<String>>>,
}

struct PlayCrew {
    kit: Kit,
    script: Script,
    requests: Arc<Mutex<Vec<ModelRequest>>>,
    effects: Arc<Mutex<Vec<String>>>,
    meeting: Arc<Barrier>,
}

impl Crew for PlayCrew {
    fn stream(&self, order: StreamOrder) -> (ChildSpec, Mailbox<StreamMessage>) {
        let request = order.request.request;
        let name = format!("stream:{request}");
        let mailbox = Mailbox::new(&self.kit, format!("root/session/{name}"), 1);
        let told = order.conversation.clone();
        let args = stream::Args {
            beats: (self.script)(&order.request),
            request: order.request,
            requests: Arc::clone(&self.requests),
            conversation: order.conversation,
        };
        let spec = ChildSpec::of::<stream::Stream>(name, &mailbox, args)
            .restart(Restart::Temporary)
            .on_exit(move |exit| {
                let exit = exit.clone();
                let _ = told.tell_behind(ConversationMessage::StreamGone { request, exit });
            })
            .build();
        (spec, mailbox)
    }

    fn tool(&self, order: ToolOrder) -> (ChildSpec, Mailbox<ToolMessage>) {
        let call = order.call.call;
        let name = format!("tool:{call}");
        let mailbox = Mailbox::new(&self.kit, format!("root/session/{name}"), 1);
        let told = order.conversation.clone();
        let args = tool::Args {
            item: order.call,
            conversation: order.conversation,
            effects: Arc::clone(&self.effects),
            meeting: Arc::clone(&self.meeting),
        };
        let spec = ChildSpec::of::<tool::Tool>(name, &mailbox, args)
            .restart(Restart::Temporary)
            .on_exit(move |exit| {
                let exit = exit.clone();
                let _ = told.tell_behind(ConversationMessage::ToolGone { call, exit });
            })
            .build();
        (spec, mailbox)
    }

    fn opener(&self, _: &SessionSettings) -> Opener {
        Box::new(|path| std::fs::File::open(path).map_err(|error| error.to_string()))
    }

    fn surroundings(&self) -> (String, String) {
        ("sh".to_owned(), "2026-01-01".to_owned())
    }
}

fn tools() -> Arc<[ToolSpec]> {
    let spec = |name: &str, traits| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        kind: ToolKind::Function { schema: "{}".to_owned() },
        traits,
    };
    [
        spec("read", Traits::ReadOnly),
        spec("read_slow", Traits::ReadOnly),
        spec("look", Traits::Command),
        spec("look_long", Traits::Command),
        spec("meet", Traits::Command),
        spec("meet_to_write", Traits::Command),
        spec("run", Traits::Command),
        spec("ask", Traits::Command),
        spec("ask_to_look", Traits::Command),
        spec("write", Traits::Effects),
        spec("hang", Traits::Effects),
        spec("die", Traits::Effects),
    ]
    .into()
}

pub fn settings() -> SessionSettings {
    SessionSettings {
        cwd: "/nowhere".into(),
        provider: "play".into(),
        model: "m".into(),
        environment_context: true,
        stream_retries: 5,
        ..SessionSettings::default()
    }
}

impl Stage {
    pub fn new(script: impl Fn(&ModelRequest) -> Vec<Beat> + Send + Sync + 'static) -> Self {
        Self::with(Arc::new(Log::default()), false, settings(), Arc::new(script))
    }

    /// On a log that may have lines already; `held` as after the end of an earlier process.
    pub fn with(log: Arc<Log>, held: bool, settings: SessionSettings, script: Script) -> Self {
        let kit = Kit::default();
        let (requests, effects, rests) = (Arc::default(), Arc::default(), Arc::default());
        let crew = PlayCrew {
            kit: kit.clone(),
            script,
            requests: Arc::clone(&requests),
            effects: Arc::clone(&effects),
            meeting: Arc::new(Barrier::new(3)),
        };
        let session = Company::new(&kit, "root/session", Order::Reverse);
        let recorder = Mailbox::<RecorderMessage>::new(&kit, "root/session/recorder", 64);
        let mailbox = Mailbox::new(&kit, "root/session/conversation", 8);
        let args = Args {
            session: SessionId::from_u128(1),
            parent: None,
            settings: Arc::new(settings),
            source: "test".into(),
            version: "0",
            boot: "".into(),
            recorder: recorder.clone(),
            supervisor: session.mailbox().clone(),
            sandbox: Mailbox::new(&kit, "root/sandbox", 1),
            tools: tools(),
            crew: Arc::new(crew),
            held: Arc::new(AtomicBool::new(held)),
            opened: Arc::default(),
            rests: Arc::clone(&rests),
        };
        let recorder_args = log::Args { log: Arc::clone(&log), conversation: mailbox.clone() };
        let often = (1000, Duration::from_secs(1));
        let session = session
            .with(
                ChildSpec::of::<log::Recorder>("recorder", &recorder, recorder_args)
                    .intensity(often.0, often.1)
                    .build(),
            )
            .with(
                ChildSpec::of::<Conversation>("conversation", &mailbox, args)
                    .intensity(often.0, often.1)
                    .build(),
            );
        let root =
            Root::start(Company::new(&kit, "root", Order::Reverse).with(
                ChildSpec::supervisor("session", &session).intensity(often.0, often.1).build(),
            ));
        Self { kit, root, log, mailbox, requests, rests, effects }
    }

    /// As the library does: until it is accepted or refused.
    pub async fn submit_as(&self, id: OpId, op: Op) -> Result<u64, Failure> {
        loop {
            let submission = Box::new(Submission { id, op: op.clone() });
            let submit = |accepted| ConversationMessage::Submit { submission, accepted };
            match self.mailbox.call(PATIENCE, submit).await {
                Ok(answer) => return answer,
                Err(CallError::Restarted | CallError::Crashed) => {}
                Err(error) => panic!("{error}; the tree: {:#?}", self.root.view()),
            }
        }
    }

    pub async fn submit(&self, op: Op) -> u64 {
        self.submit_as(OpId::new(), op).await.unwrap()
    }

    pub async fn prompt(&self, text: &str) -> u64 {
        self.submit(Op::prompt(text)).await
    }

    /// Waits until the log holds `count` ended turns.
    pub async fn turns(&self, count: usize) {
        let ended = |record: &Record| matches!(record, Record::TurnFinished(_));
        self.log
            .until(move |lines| lines.iter().filter(|line| ended(&line.record)).count() >= count)
            .await;
    }

    /// Waits for a record of this kind.
    pub async fn kind(&self, kind: &'static str) {
        self.log.until(move |lines| lines.iter().any(|line| line.record.kind() == kind)).await;
    }

    /// Waits until nothing runs any more on a log that cannot be written.
    pub async fn rest(&self) -> Failure {
        let mut rests = self.rests.subscribe();
        let rest = tokio::time::timeout(PATIENCE, rests.wait_for(Option::is_some)).await;
        rest.unwrap().unwrap().clone().unwrap()
    }

    pub fn requests(&self) -> Vec<ModelRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub fn effects(&self) -> Vec<String> {
        self.effects.lock().unwrap().clone()
    }
}
