//! The company: starting, opening sessions, looking at it, stopping.

use crate::{
    Conversation, OpenError, Opening, Setup,
    parts::Parts,
    session::{self, Making, Session},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;
use troupe_egress::Rules;
use troupe_egress_actor::Egress;
use troupe_kit::{
    CallError, ChildSpec, Company, Exit, GiveUp, Kit, Mailbox, NodeView, Order, Root, Stuck,
};
use troupe_messages::{Handle, RecorderMessage, ReplayError, SessionsMessage};
use troupe_patch::Recovered;
use troupe_policy::Policy;
use troupe_providers::{Http, Provider};
use troupe_recorder::{LogPath, Scribes};
use troupe_sandbox::Launcher;
use troupe_sandbox_actor::SandboxActor;
use troupe_sessions::{Register, Sessions};
use troupe_types::SessionId;

/// How long a call to the company's own roles may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// Threads that write logs.
const WRITERS: usize = 2;
/// How long the writers have to write what they were handed, when the company stops.
const FLUSH: Duration = Duration::from_secs(10);

/// A running company. Clones share it; it runs until it is stopped or its runtime ends.
#[derive(Clone)]
pub struct Troupe {
    root: Root,
    parts: Arc<Parts>,
    setup: Arc<Setup>,
    http: Http,
    /// Connected so far, shared by all sessions.
    providers: Arc<Mutex<HashMap<String, Arc<dyn Provider>>>>,
    started: Instant,
    recovered: Arc<AtomicBool>,
}

impl std::fmt::Debug for Troupe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Troupe")
    }
}

impl Troupe {
    /// Starts the company on the current tokio runtime. Touches no file and starts no process.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let kit = Kit::with_faults(setup.faults.clone());
        let policy = Mailbox::new(&kit, "troupe/policy", 64);
        let sandbox = Mailbox::new(&kit, "troupe/sandbox", 64);
        let egress = Mailbox::new(&kit, "troupe/egress", 64);
        let sessions = Mailbox::new(&kit, "troupe/sessions", 64);
        let conversations = Company::new(&kit, "troupe/conversations", Order::Together);
        let shell = setup.shell.clone().unwrap_or_else(troupe_sandbox::which_shell);
        let launcher =
            Arc::new(setup.launcher.clone().map_or_else(Launcher::default, Launcher::new));
        let parts = Arc::new(Parts {
            kit: kit.clone(),
            sessions_dir: setup.sessions_dir.clone(),
            scribes: Scribes::new(WRITERS, setup.log_hook.clone()),
            policy: policy.clone(),
            sandbox: sandbox.clone(),
            sessions: sessions.clone(),
            tools: troupe_tool_exec::tools::specs().into(),
            shell: shell.display().to_string().into(),
            launcher: Mutex::new(Some(Arc::clone(&launcher))),
        });
        let sandbox_args = troupe_sandbox_actor::Args {
            launcher,
            environment: Arc::new(setup.environment.clone()),
            surveyor: Arc::default(),
            // Rules that cannot be read mean none; a session with such rules is not opened.
            doors: Arc::new(|sandbox| {
                let rules = Rules::new(&sandbox.allow_hosts, &sandbox.deny_hosts);
                rules.map(|rules| rules.doors()).unwrap_or_default()
            }),
            egress: egress.clone(),
        };
        let sessions_args = troupe_sessions::Args {
            conversations: conversations.mailbox().clone(),
            register: Register::default(),
        };
        let company = Company::new(&kit, "troupe", Order::Reverse)
            .with(
                ChildSpec::of::<Policy>("policy", &policy, Arc::new(setup.policy.clone())).build(),
            )
            .with(ChildSpec::of::<SandboxActor>("sandbox", &sandbox, sandbox_args).build())
            .with(ChildSpec::of::<Egress>("egress", &egress, ()).give_up(GiveUp::Close).build())
            .with(
                ChildSpec::of::<Sessions>("sessions", &sessions, sessions_args)
                    .give_up(GiveUp::Close)
                    .build(),
            )
            .with(ChildSpec::supervisor("conversations", &conversations).build());
        Self {
            root: Root::start(company),
            parts,
            http: Http::new(setup.http.clone()),
            setup: Arc::new(setup),
            providers: Arc::default(),
            started: Instant::now(),
            recovered: Arc::default(),
        }
    }

    /// Has somebody told of what is stuck, on a thread of its own: a handler or a task that has not come
    /// back for seconds, which nothing can end but the end of the process. The first listener counts.
    pub fn on_stuck(&self, told: impl Fn(&Stuck) + Send + Sync + 'static) {
        self.parts.kit.on_stuck(told);
    }

    /// Takes back patches that a crash broke off, once for each company; [`Troupe::open`] does it
    /// otherwise.
    pub async fn recover(&self) -> Vec<Recovered> {
        if self.recovered.swap(true, Ordering::AcqRel) {
            return Vec::new();
        }
        let folder = troupe_patch::journals(Some(&self.parts.sessions_dir));
        if !folder.exists() {
            return Vec::new();
        }
        spawn_blocking(move || troupe_patch::recover(&folder)).await.unwrap_or_default()
    }

    /// Opens a session. One that is open in this process already is shared.
    ///
    /// # Errors
    /// When there is no such session, the rules or its settings cannot be used, its log cannot be read or is
    /// open in another process, or the company has ended.
    pub async fn open(&self, opening: Opening) -> Result<Conversation, OpenError> {
        // Where nothing may run, no model is asked either, and no tool that only looks is called.
        if let Some(why) = self.setup.policy.unusable() {
            return Err(OpenError::Config(why));
        }
        for found in self.recover().await {
            tracing::warn!(?found, "a crash interrupted a patch");
        }
        let sandbox = &opening.settings.sandbox;
        let unusable = |error: &dyn std::fmt::Display| OpenError::Config(error.to_string());
        Rules::new(&sandbox.allow_hosts, &sandbox.deny_hosts).map_err(|error| unusable(&error))?;
        troupe_sandbox::check(sandbox).map_err(|error| unusable(&error))?;
        let provider = self.provider(&opening)?;
        let id = opening.resume.unwrap_or_else(SessionId::new);
        if opening.resume.is_some() {
            let dir = &self.parts.sessions_dir;
            if session::exists(dir, id).is_none() {
                return Err(OpenError::Unknown { session: id, dir: dir.display().to_string() });
            }
        }
        let (made, ready) = session::make(
            &self.parts,
            Making {
                id,
                parent: opening.parent,
                settings: Arc::new(opening.settings),
                source: opening.source,
                provider,
                resumed: opening.resume.is_some(),
            },
        );
        drop(made);
        let ready = Arc::new(ready);
        let open = |reply| SessionsMessage::Open { session: id, ready: Arc::clone(&ready), reply };
        let handle: Handle = self.ask(open).await?;
        let session = handle
            .downcast::<Session>()
            .map_err(|_| OpenError::Closed("its handle is not a session's".to_owned()))?;
        let conversation = Conversation { session, sessions: self.parts.sessions.clone() };
        if opening.resume.is_some() {
            self.wait_until_readable(&conversation).await?;
            self.wait_until_read(&conversation).await?;
        }
        Ok(conversation)
    }

    /// The log can be read and is ours; otherwise the session is closed again.
    async fn wait_until_readable(&self, conversation: &Conversation) -> Result<(), OpenError> {
        let read = |reply| RecorderMessage::Read { offsets: Vec::new(), reply };
        loop {
            let error = match conversation.session.recorder.ask(DEADLINE, read).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(ReplayError(text))) => text,
                Err(CallError::Restarted) => continue,
                Err(error @ (CallError::TimedOut | CallError::Crashed)) => {
                    format!("its log does not answer: {error}")
                }
                Err(CallError::Closed) => {
                    let why = conversation.session.why_closed();
                    why.unwrap_or_else(|| "the session was closed".to_owned())
                }
            };
            conversation.close().await;
            return Err(OpenError::Storage(error));
        }
    }

    /// The conversation has rebuilt itself from the log, under its lock, and says what it found.
    async fn wait_until_read(&self, conversation: &Conversation) -> Result<(), OpenError> {
        let session = &conversation.session;
        let (mut opened, mut ended) = (session.opened.subscribe(), session.ended.subscribe());
        tokio::select! {
            biased;
            _ = opened.wait_for(Option::is_some) => Ok(()),
            _ = ended.wait_for(Option::is_some) => {
                let why = session.why_closed();
                let why = why.unwrap_or_else(|| "the session was closed".to_owned());
                Err(OpenError::Storage(why))
            }
        }
    }

    fn provider(&self, opening: &Opening) -> Result<Arc<dyn Provider>, OpenError> {
        let id = &opening.settings.provider;
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(provider) = providers.get(id) {
            return Ok(Arc::clone(provider));
        }
        let endpoint = self.setup.endpoint(id).map_err(OpenError::Config)?;
        let provider = troupe_providers::connect(&endpoint, &self.http)
            .map_err(|error| OpenError::Config(error.to_string()))?;
        providers.insert(id.clone(), Arc::clone(&provider));
        Ok(provider)
    }

    async fn ask<T>(
        &self,
        message: impl Fn(troupe_kit::Reply<T>) -> SessionsMessage,
    ) -> Result<T, OpenError> {
        loop {
            match self.parts.sessions.ask(DEADLINE, &message).await {
                Ok(answer) => return Ok(answer),
                Err(CallError::Restarted | CallError::TimedOut) => {}
                Err(CallError::Crashed) => {
                    let why = "the list of sessions failed on this request twice";
                    return Err(OpenError::Closed(why.to_owned()));
                }
                Err(CallError::Closed) => {
                    return Err(OpenError::Closed("troupe has stopped".to_owned()));
                }
            }
        }
    }

    /// The sessions that are open in this process.
    ///
    /// # Errors
    /// When the company has ended.
    pub async fn sessions(&self) -> Result<Vec<SessionId>, OpenError> {
        self.ask(SessionsMessage::List).await
    }

    /// Where the log of a session is.
    #[must_use]
    pub fn log_path(&self, session: SessionId) -> LogPath {
        LogPath::new(&self.parts.sessions_dir, session)
    }

    /// The live tree.
    #[must_use]
    pub fn tree(&self) -> NodeView {
        self.root.view()
    }

    /// How long the company has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until the company has ended, and says why.
    pub async fn ended(&self) -> Exit {
        self.root.ended().await
    }

    /// Stops everything in order and waits for it: sessions, then the rest; what the writers were
    /// handed is written. Running turns are broken off and held in their logs.
    pub async fn stop(&self) -> Exit {
        let exit = self.root.stop().await;
        self.parts.scribes.flush(FLUSH).await;
        let launcher = self.parts.launcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ended = spawn_blocking(move || drop(launcher)).await;
        exit
    }
}
