//! A host with faults: one headless task whose actors, or whose process, fail as told.
//!
//! `fault_host SETTING=VALUE… [--resume] [--abort|--interrupt POINT:SEQ] [--full SEQ]
//! [--crash ROLE:AT:MOMENT]… -- PROMPT`
//! prints the events of `troupe exec --json`, and on standard error each fault that struck.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;
use troupe::{
    Conversation, Events, Fault, Faults, HookAction, LogHook, LogPoint, Moment, Opening, Setup,
    Troupe,
    config::{LoadOptions, load},
    list_sessions,
    types::{Content, Event, Failure, Op, OpId, SessionId},
};
use troupe_exec::{JsonEvents, Output, Signals, Sink, Task};

/// SIGINT.
const INTERRUPT: Signals = Signals { number: 2, count: 1 };

/// Aborts the process, fails a write, or has the user interrupt the turn, at one step of one line.
struct At {
    point: LogPoint,
    seq: u64,
    action: HookAction,
    /// The receiver of the interrupt, if the fault is one.
    interrupt: Option<watch::Sender<Option<Signals>>>,
    struck: AtomicBool,
}

impl LogHook for At {
    fn at(&self, point: LogPoint, seq: u64) -> HookAction {
        if point != self.point || seq != self.seq || self.struck.swap(true, Ordering::SeqCst) {
            return HookAction::Go;
        }
        eprintln!("landed: {point:?} {seq}");
        if let Some(signals) = &self.interrupt {
            signals.send_replace(Some(INTERRUPT));
        }
        self.action
    }
}

struct Live<'a>(&'a Conversation, Events);

impl troupe_exec::Session for Live<'_> {
    fn id(&self) -> SessionId {
        self.0.id()
    }

    async fn submit(&self, op: Op) -> Result<OpId, Failure> {
        self.0.submit(op).await.map(|accepted| accepted.op)
    }

    async fn next(&mut self) -> Option<Event> {
        self.1.next().await
    }
}

struct Arguments {
    settings: Vec<String>,
    signals: watch::Sender<Option<Signals>>,
    hook: Option<Arc<dyn LogHook>>,
    faults: Faults,
    resume: bool,
    count: bool,
    prompt: Option<String>,
}

fn arguments() -> Option<Arguments> {
    let mut all = Arguments {
        settings: Vec::new(),
        signals: watch::Sender::new(None),
        hook: None,
        faults: Faults::default(),
        resume: false,
        count: false,
        prompt: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => all.prompt = words.next(),
            "--resume" => all.resume = true,
            "--count" => all.count = true,
            "--abort" | "--interrupt" | "--full" => {
                let value = words.next()?;
                let (point, seq) = value.split_once(':').unwrap_or(("before-write", &value));
                let point = match point {
                    "before-write" => LogPoint::BeforeWrite,
                    "after-write" => LogPoint::AfterWrite,
                    "after-publish" => LogPoint::AfterPublish,
                    _ => return None,
                };
                let action = match word.as_str() {
                    "--abort" => HookAction::Abort,
                    "--interrupt" => HookAction::Go,
                    _ => HookAction::Fail(std::io::ErrorKind::StorageFull),
                };
                let (seq, struck) = (seq.parse().ok()?, AtomicBool::new(false));
                let interrupt = (word == "--interrupt").then(|| all.signals.clone());
                all.hook = Some(Arc::new(At { point, seq, action, interrupt, struck }));
            }
            "--crash" => {
                let value = words.next()?;
                let (rest, moment) = value.rsplit_once(':')?;
                let (role, at) = rest.rsplit_once(':')?;
                let moment = match moment {
                    "before" => Moment::Before,
                    "within" => Moment::Within,
                    "after" => Moment::After,
                    "start" => Moment::Start,
                    _ => Moment::Kill,
                };
                all.faults.inject(Fault { role: role.to_owned(), at: at.parse().ok()?, moment });
            }
            _ => all.settings.push(word),
        }
    }
    Some(all)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    troupe::run_if_launcher();
    std::panic::set_hook(Box::new(|_| {}));
    let arguments = arguments().ok_or("wrong arguments")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(run(arguments))?;
    runtime.shutdown_background();
    std::process::exit(i32::from(code));
}

async fn run(arguments: Arguments) -> Result<u8, Box<dyn std::error::Error>> {
    let cwd = std::fs::canonicalize(std::env::current_dir()?)?;
    let mut options = LoadOptions::new(&cwd);
    options.overrides = arguments.settings;
    let loaded = load(&options)?;
    let name = |value: &Option<String>| value.clone().unwrap_or_default();
    let (provider, model) = (name(&loaded.config.model_provider), name(&loaded.config.model));
    let mut settings =
        loaded.config.session_settings(&cwd, &provider, &model, 5, &loaded.places)?;
    settings.approval = troupe::types::ApprovalPolicy::Never;
    let mut setup = Setup::new(&loaded);
    setup.log_hook = arguments.hook;
    setup.faults = arguments.faults.clone();
    if arguments.count {
        setup.faults.inject(Fault { role: "nobody".into(), at: 1, moment: Moment::Kill });
    }
    let opening = if arguments.resume {
        let latest = list_sessions(&setup.sessions_dir, 1, |_| true)?;
        let session = latest.first().ok_or("no session")?.session;
        Opening::resume(session, settings)
    } else {
        Opening::new(settings)
    };
    let troupe = Troupe::start(setup);
    let conversation = troupe.open(opening.from_source("fault-host")).await?;
    let task = Task {
        prompt: arguments.prompt.map(|text| vec![Content::text(text)]),
        work: conversation.work(),
        ..Task::default()
    };
    let signals = arguments.signals.subscribe();
    let mut session = Live(&conversation, conversation.events());
    let sink = Sink::new(std::io::stdout())?;
    let output = Output::Json(JsonEvents::default());
    let end = troupe_exec::drive(&mut session, task, output, sink, signals).await;
    let tree = troupe.tree();
    for fault in arguments.faults.landed() {
        eprintln!("landed: {} {} {:?}", fault.role, fault.at, fault.moment);
    }
    if arguments.count {
        let mut counts: Vec<_> = arguments.faults.counts().into_iter().collect();
        counts.sort();
        for (role, count) in counts {
            eprintln!("count: {count} {role}");
        }
    }
    tree.walk(&mut |_, node| {
        if node.restarts > 0 {
            eprintln!("restarted: {} {}", node.name, node.restarts);
        }
    });
    std::io::stderr().flush()?;
    troupe.stop().await;
    Ok(end.code)
}
