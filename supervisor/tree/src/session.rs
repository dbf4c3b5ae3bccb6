//! One session: its supervisor, its actors, and what they share with its handles.

use crate::{crew::SessionCrew, parts::Parts};
use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use troupe_conversation::{Conversation, Opened, WINDOW, Work};
use troupe_kit::{ChildSpec, Company, Exit, GiveUp, Mailbox, Order, Restart, Ring};
use troupe_messages::{ConversationMessage, Ready, RecorderMessage, SessionsMessage};
use troupe_providers::Provider;
use troupe_recorder::{LogPath, Published, Recorder};
use troupe_types::{Failure, Progress, SessionId, SessionSettings};

/// How many progress entries a slow reader may be behind.
const PROGRESS: usize = 256;
/// Room in the conversation's bulk lane for what streams and tools offer.
const BULK: usize = 32;

/// How a session ended: why, where it was not asked for.
type Ended = Option<String>;

/// What the handles of a session share with its actors.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) path: LogPath,
    pub(crate) mailbox: Mailbox<ConversationMessage>,
    pub(crate) recorder: Mailbox<RecorderMessage>,
    pub(crate) published: Arc<watch::Sender<Published>>,
    pub(crate) progress: Ring<Progress>,
    pub(crate) ended: watch::Sender<Option<Ended>>,
    /// What its log held when it was opened, once the conversation has read it.
    pub(crate) opened: Arc<watch::Sender<Option<Opened>>>,
    /// Why nothing runs any more, while the log cannot be written.
    pub(crate) rests: Arc<watch::Sender<Option<Failure>>>,
}

impl Session {
    /// What its log held when it was opened; nothing, for a new one.
    pub(crate) fn opened(&self) -> Opened {
        self.opened.borrow().unwrap_or(Opened { first: 0, work: Work::None })
    }

    pub(crate) fn why_closed(&self) -> Option<String> {
        self.ended.borrow().clone().flatten()
    }
}

/// What a session is made from.
pub(crate) struct Making {
    pub(crate) id: SessionId,
    pub(crate) parent: Option<SessionId>,
    pub(crate) settings: Arc<SessionSettings>,
    pub(crate) source: Arc<str>,
    pub(crate) provider: Arc<dyn Provider>,
    /// Whether its log exists already.
    pub(crate) resumed: bool,
}

/// The path in the tree of a session's supervisor.
fn supervisor_path(id: SessionId) -> String {
    format!("troupe/conversations/{}", troupe_sessions::child_name(id))
}

/// The session's supervisor, ready to be started, and what its handles share.
pub(crate) fn make(parts: &Arc<Parts>, making: Making) -> (Arc<Session>, Ready) {
    static OPENINGS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let kit = &parts.kit;
    let id = making.id;
    let base = supervisor_path(id);
    let log = LogPath::new(&parts.sessions_dir, id);
    let window = usize::try_from(WINDOW).unwrap_or(64);
    let recorder = Mailbox::new(kit, format!("{base}/recorder"), window);
    let mailbox = Mailbox::new(kit, format!("{base}/conversation"), BULK);
    let company = Company::new(kit, base.as_str(), Order::Reverse);
    let published = Arc::new(watch::Sender::new(Published::default()));
    let progress = Ring::new(PROGRESS);
    let opened = Arc::default();
    let rests = Arc::default();

    let crew = SessionCrew {
        parts: Arc::clone(parts),
        base: base.clone().into(),
        provider: making.provider,
        folder: log.folder(),
        progress: progress.clone(),
    };
    let recorder_args = troupe_recorder::Args {
        path: log.clone(),
        existing: making.resumed,
        scribes: Arc::clone(&parts.scribes),
        published: Arc::clone(&published),
        conversation: mailbox.clone(),
    };
    let conversation_args = troupe_conversation::Args {
        session: id,
        parent: making.parent,
        settings: making.settings,
        source: making.source,
        version: env!("CARGO_PKG_VERSION"),
        boot: boot(),
        recorder: recorder.clone(),
        supervisor: company.mailbox().clone(),
        sandbox: parts.sandbox.clone(),
        tools: Arc::clone(&parts.tools),
        crew: Arc::new(crew),
        held: Arc::new(AtomicBool::new(making.resumed)),
        opened: Arc::clone(&opened),
        rests: Arc::clone(&rests),
    };
    let restarted = |path: &str| {
        let (ring, path) = (progress.clone(), path.to_owned());
        move |exit: &Exit| {
            ring.push(Progress::ActorRestarted { path: path.clone(), reason: exit.to_string() });
        }
    };
    let within = (20, Duration::from_secs(30));
    let company = company
        .with(
            ChildSpec::of::<Recorder>("recorder", &recorder, recorder_args)
                .intensity(within.0, within.1)
                .on_restart(restarted(recorder.path()))
                .build(),
        )
        .with(
            ChildSpec::of::<Conversation>("conversation", &mailbox, conversation_args)
                .intensity(within.0, within.1)
                .on_restart(restarted(mailbox.path()))
                .build(),
        );

    let (ended, _) = watch::channel(None);
    let session = Arc::new(Session {
        id,
        path: log,
        mailbox,
        recorder,
        published,
        progress: progress.clone(),
        ended,
        opened,
        rests,
    });
    let opening = OPENINGS.fetch_add(1, Ordering::Relaxed);
    let (told, sessions) = (Arc::clone(&session), parts.sessions.clone());
    let scribes = Arc::clone(&parts.scribes);
    let spec = ChildSpec::supervisor(troupe_sessions::child_name(id), &company)
        .restart(Restart::Transient)
        .give_up(GiveUp::Close)
        .on_restart(restarted(&base))
        .on_closed(move |reason| {
            // What was handed over is still written; then the lock is let go.
            scribes.release(&told.path);
            told.ended.send_replace(Some(reason.clone()));
            let _refused = sessions.tell(SessionsMessage::Ended { session: id, opening, reason });
        })
        .build();
    let handle: troupe_messages::Handle = session.clone();
    (session, Ready::new(spec, opening, handle))
}

/// Names the machine's boot, where the system tells it (Linux: `random/boot_id`): lines of a log
/// that were written in an earlier one may have been lost with the power.
fn boot() -> Arc<str> {
    static BOOT: OnceLock<Arc<str>> = OnceLock::new();
    let read = || {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.chars().take(8).collect::<String>().into()
    };
    Arc::clone(BOOT.get_or_init(read))
}

/// Whether there is a log of this session.
pub(crate) fn exists(dir: &std::path::Path, id: SessionId) -> Option<PathBuf> {
    let file = LogPath::new(dir, id).file();
    file.exists().then_some(file)
}
